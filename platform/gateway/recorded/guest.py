"""A request that is no stream yet: it uploads, or waits for room. The house knows it all the same."""

from __future__ import annotations

import asyncio
from types import TracebackType

from gateway.errors import GatewayError
from gateway.process import Process
from tenants.access import KeyGrant


class Guest:
    """Within it, a revoked key or a stop of the house is raised where the request just is.

    It has a place within the limits of its project, under the name of the stream that it will be. Its `grant`
    is as of now. It must be left in the task in which it was entered.
    """

    processed_ms = 0

    def __init__(self, house: Process, grant: KeyGrant, request_id: str) -> None:
        self.house, self.grant, self.id = house, grant, request_id
        self._failure: GatewayError | None = None
        self._task: asyncio.Task[object] | None = None

    def fail(self, error: GatewayError) -> None:
        if self._failure is None and self._task is not None:
            self._failure = error
            self._task.cancel()

    def wind_up(self, error: GatewayError) -> bool:
        """There is nothing to finish yet."""
        if self._failure is not None:
            return False
        self.fail(error)
        return True

    def move_away(self, address: str) -> bool:
        """Its client waits for one answer, and gets it here."""
        return False

    async def __aenter__(self) -> Guest:
        self.house.admit()
        self._task = asyncio.current_task()
        self.house.streams.add(self)
        try:
            await self.house.admission.enter(self)
        except BaseException:
            self._out()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out()

    def become(self) -> None:
        """From now on the stream with this name is known instead, and has the place."""
        self.house.streams.remove(self)
        self._task = None

    def _out(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        self.house.streams.remove(self)
        self.house.admission.leave(self, opened=False)
        if self._failure is not None and task.uncancel() == 0:
            raise self._failure from None
