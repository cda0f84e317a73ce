"""The variables of the scripted engine, for tests and benchmarks; `config.env` has them too."""

from __future__ import annotations

from config.parsers import number, text
from config.variable import Variable

SCRIPTED_FILE = Variable(
    "SCRIPTED_FILE",
    text,
    "/etc/stenogate/script.txt",
    "What the scripted engine says, a sentence a line.",
    "",
)
SCRIPTED_STEP_MS = Variable(
    "SCRIPTED_STEP_MS", number(0, 60_000), "10", "Milliseconds the scripted engine takes for a step.", "0"
)
SCRIPTED_ROW_MS = Variable(
    "SCRIPTED_ROW_MS", number(0, 1000), "1", "Milliseconds more for each stream in the step.", "0"
)
