"""Signed receipts: what a customer proves a bill with. See docs/receipts.md."""
