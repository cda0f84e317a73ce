"""Memory that a step lets go of is kept for the next.

glibc gives large blocks back to the system at once, and each step would be given its pages anew, one fault
for each: that is a third of a step on a CPU.
"""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEEP, LARGEST = 1 << 30, 32 << 20


def keep_memory() -> bool:
    """False where there is no glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(TRIM_THRESHOLD, KEEP) and mallopt(MMAP_THRESHOLD, LARGEST))
