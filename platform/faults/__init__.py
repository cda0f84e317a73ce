"""What may go wrong with whatever is not in this process, and how long to leave it alone then."""
