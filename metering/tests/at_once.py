"""Threads with connections of their own, for tests of what happens at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection


def run_at_once(work: Sequence[Callable[[], Any]]) -> None:
    """Each in its own thread, until all are over; none of them may fail."""
    errors: list[BaseException] = []

    def run(mine: Callable[[], Any]) -> None:
        try:
            mine()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(mine,)) for mine in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
