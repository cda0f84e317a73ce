"""Dialects turn a protocol's messages into session commands, and what a session says into its messages.

A dialect is a module with `decode_text(text) -> Command` and `encode(message, about) -> str | None`.
"""
