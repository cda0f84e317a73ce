"""Breaks parts of a running Stenogate on purpose, and says what came of it."""
