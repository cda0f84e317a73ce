"""docs/failures.md has the errors of every remote thing, and their kinds, as the code has them."""

from __future__ import annotations

import inspect
import re

from faults.kinds import GRPC, SQLSTATES, VALKEY
from gateway import callbacks
from metering.payments import errors
from tests.documentation import names

PAGE = names.ROOT / "docs" / "failures.md"


def of_stripe() -> list[type[errors.PaymentsError]]:
    """Those that are raised."""
    every = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
    return [one for one in every if issubclass(one, errors.PaymentsError) and one is not errors.PaymentsError]


def expected() -> list[str]:
    rows = [("PostgreSQL", f"`{state}`", kind, text) for state, (kind, text) in SQLSTATES.items()]
    rows += [("Valkey", f"`{error.__name__}`", kind, text) for error, kind, text in VALKEY]
    for one in of_stripe():
        rows.append(
            ("Stripe", f"`{one.__name__}`", one.kind, " ".join(inspect.cleandoc(one.__doc__ or "").split()))
        )
    rows += [("callbacks", outcome, kind, text) for outcome, (kind, text) in callbacks.OUTCOMES.items()]
    rows += [("gRPC", status, kind, text) for status, (kind, text) in GRPC.items()]
    return [f"| {remote} | {what} | {kind} | {text} |" for remote, what, kind, text in rows]


def test_the_tables_are_those_of_the_code() -> None:
    written = re.findall(r"^\| .* \| (?:transient|fatal) \| .* \|$", PAGE.read_text(), re.MULTILINE)
    assert written == expected()
