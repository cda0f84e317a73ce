"""What a gateway does without the control database, in variables; `config.env` has them too."""

from __future__ import annotations

from config.parsers import number
from config.variable import Variable

KEY_CACHE_SECONDS = Variable(
    "KEY_CACHE_SECONDS",
    number(0, 60),
    "5",
    "How long a gateway does not look up again an API key that it has looked up.",
    "5",
)
CONTROL_DB_GRACE_SECONDS = Variable(
    "CONTROL_DB_GRACE_SECONDS",
    number(0, 86_400),
    "900",
    "How long a gateway serves the API keys it knows while the control database cannot be reached; "
    "0: not at all.",
    "900",
)
