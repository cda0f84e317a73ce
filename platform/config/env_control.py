"""What a gateway asks and watches beside its streams, in variables: keys, the control database, certificates.
`config.env` has them under the same names."""

from __future__ import annotations

from config.parsers import addresses, number
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
CERTIFICATE_ADDRESSES = Variable(
    "CERTIFICATE_ADDRESSES",
    addresses(16),
    "eu.stt.example.com,us.stt.example.com:8443",
    "Where clients are shown a TLS certificate, so that a gateway can say when each expires; 443 unless a "
    "port is named. An https PUBLIC_URL and the addresses of regions are among them by themselves.",
    "",
)
