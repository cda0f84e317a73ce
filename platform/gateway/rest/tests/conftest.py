"""The REST API as Django serves it, over a real PostgreSQL, with a house that has no streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.test import AsyncClient

from gateway import process
from gateway.auth import Authenticator, Failures, KeyCache
from gateway.door import Door, OpenDoor
from gateway.workers import Pool
from tenants import services
from tenants.access import Scope
from wire.messages import Heartbeat, WorkerState


@dataclass
class Link:
    pool: Pool = field(default_factory=Pool)

    def hear(self, model: str, *languages: str, worker: str = "w") -> None:
        heartbeat = Heartbeat(
            worker=worker, address=f"worker.{worker}", region="test", state=WorkerState.READY,
            engine="scripted", model=model, languages=languages, capacity=1, active=0,
        )  # fmt: skip
        self.pool.hear(heartbeat, 0.0)


@dataclass
class House:
    """What a REST request needs of the process."""

    authenticator: Authenticator = field(
        default_factory=lambda: Authenticator(
            KeyCache(find=process.find_grant, keep_s=0), Failures(per_minute=10_000)
        )
    )
    admission: Door = field(default_factory=OpenDoor)
    link: Link = field(default_factory=Link)
    trusted_proxy: bool = False


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["err_code"])


@dataclass(frozen=True)
class Asker:
    """A client with a key."""

    secret: str | None

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        if self.secret is not None:
            headers = {"Authorization": f"Token {self.secret}", **headers}
        data = body if isinstance(body, bytes) else json.dumps(body) if body is not None else b""
        response, content = asyncio.run(_ask(method, path, data, headers))
        kind = response.headers["Content-Type"].partition(";")[0]
        if kind == "application/pdf":
            return Answer(response.status_code, response.headers, content)
        said = json.loads(content) if kind == "application/json" else content.decode()
        return Answer(response.status_code, response.headers, said)

    def get(self, path: str, **headers: str) -> Answer:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self("POST", path, body, **headers)


async def _ask(method: str, path: str, data: bytes, headers: dict[str, str]) -> tuple[Any, bytes]:
    response = await AsyncClient().generic(
        method, path, data, content_type="application/json", headers=headers
    )
    if response.streaming:
        return response, b"".join([part async for part in response])
    return response, response.content


@pytest.fixture
def house(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> House:
    made = House()
    made.link.hear("m", "en")
    monkeypatch.setattr("gateway.process.current", lambda: made)
    return made


def key_of(household: Any, scopes: Iterable[str] = tuple(Scope), **changes: Any) -> Asker:
    return Asker(services.issue_key(household.project, name="Asking", scopes=scopes, **changes)[1])


@pytest.fixture
def ask(house: House, acme: Any, rival: Any) -> Asker:
    """Acme's, with a key that may do everything."""
    return key_of(acme)
