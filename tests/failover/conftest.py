from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.failover.nursery import Nursery

Nurseries = Callable[[str], Nursery]


@pytest.fixture(scope="session")
def nurseries(valkey_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nurseries]:
    """One for each engine: to import NeMo takes longer than anything that is done with it here."""
    made: dict[str, Nursery] = {}
    with ExitStack() as leaving:

        def nursery(engine: str) -> Nursery:
            if engine not in made:
                folder = tmp_path_factory.mktemp(engine)
                made[engine] = leaving.enter_context(Nursery(engine, valkey_server, folder))
            return made[engine]

        yield nursery
