"""The variables of recorded audio; `config.env` has them too."""

from __future__ import annotations

from config.parsers import integer, number
from config.variable import Variable

UPLOAD_MAX_BYTES = Variable(
    "UPLOAD_MAX_BYTES",
    integer(1, 10**12),
    "26214400",
    "The largest recording that is taken, as it is sent; a larger one gets 413.",
    "2147483648",
)
UPLOAD_DISK_BYTES = Variable(
    "UPLOAD_DISK_BYTES",
    integer(1, 10**13),
    "107374182400",
    "Bytes of recordings that one gateway holds on its disk (in TMPDIR) at a time; beyond it there is 503.",
    "8589934592",
)
UPLOAD_STALL_SECONDS = Variable(
    "UPLOAD_STALL_SECONDS",
    number(0.1, 50),
    "20",
    "A recording of which nothing comes for this long is given up.",
    "20",
)
RECORDED_MAX_SECONDS = Variable(
    "RECORDED_MAX_SECONDS",
    number(1, 86_400),
    "3600",
    "The longest recording that is transcribed; a longer one gets 422.",
    "14400",
)
RECORDED_WAIT_SECONDS = Variable(
    "RECORDED_WAIT_SECONDS",
    number(0, 600),
    "30",
    "How long recorded audio may wait for room on a worker before it gets 503.",
    "30",
)
