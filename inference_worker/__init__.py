"""The inference process: one a GPU, no Django."""
