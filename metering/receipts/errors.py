"""What can go wrong with receipts.

ReceiptError
├── NoReceiptKey   RECEIPT_KEYS is empty
└── KeyNameTaken   a name of RECEIPT_KEYS was another key's before
"""

from __future__ import annotations


class ReceiptError(Exception):
    """There is no receipt to be had."""

    def __init__(self, said: str = "") -> None:
        super().__init__(said or " ".join((self.__doc__ or "").split()))


class NoReceiptKey(ReceiptError):
    """RECEIPT_KEYS is empty: nothing is signed. Make a key with manage.py receipt_key."""


class KeyNameTaken(ReceiptError):
    """A name of RECEIPT_KEYS was another key's before."""
