"""A client that was cut off comes back, to the same gateway or another: nothing is said twice or left out."""
