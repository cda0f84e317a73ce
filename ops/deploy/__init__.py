"""The image, and what a container needs beside it."""
