"""The variables of who is let in when many come at once; `config.env` has them too."""

from __future__ import annotations

from config.parsers import integer, number, zero_or
from config.variable import Variable

GATEWAY_MAX_HANDSHAKES = Variable(
    "GATEWAY_MAX_HANDSHAKES",
    integer(1, 100_000),
    "500",
    "Handshakes that one gateway process has in hand at a time; beyond it they get 503 at once.",
    "500",
)
OPENING_WAIT_SECONDS = Variable(
    "OPENING_WAIT_SECONDS",
    number(0, 10),
    "3",
    "How long a handshake waits for its turn at a worker before it gets 503, with the time to come back at.",
    "3",
)
OPENING_RAMP_SECONDS = Variable(
    "OPENING_RAMP_SECONDS",
    zero_or(0.1, 600),
    "4",
    "A worker is filled with new streams in no less than this, and slower while it answers late; 0: at once.",
    "4",
)
OVERLOAD_MS = Variable(
    "OVERLOAD_MS",
    zero_or(10, 600_000),
    "500",
    "A worker gets no new streams while the 95th percentiles of its steps and of the wait for them add up to "
    "more; 0: it always does.",
    "2000",
)
