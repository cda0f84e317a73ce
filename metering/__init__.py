"""How much: what was processed, recorded once. See README.md for what always holds."""
