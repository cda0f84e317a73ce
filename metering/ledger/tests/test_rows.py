from __future__ import annotations

import pytest
from django.db import connection

from metering.ledger import rows


@pytest.mark.parametrize(
    "values",
    [
        [],
        ["a", None, "NULL", "null", ""],
        ['"', "\\", '\\"', "\\n", "\\\\n", "a\\x41", "{,}", " ä 世 \U0001f600 \x7f\u2028"],
        ["line\nfeed", "tab\t", "bell\x07", None],
    ],
    ids=["none", "nothing", "quoted", "unprintable"],
)
def test_an_array_comes_back_as_it_was(db, values):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text[]", [rows.array(values)])
        assert cursor.fetchone() == (values,)
