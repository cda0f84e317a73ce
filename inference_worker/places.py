"""An exception as the log may show it."""

from __future__ import annotations

import traceback


def place(error: BaseException) -> str:
    """What was raised and where. Not its sentence, which may quote what somebody said."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join([type(error).__name__, *(f"{f.name}:{f.lineno}" for f in reversed(frames))])
