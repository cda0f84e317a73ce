"""What the addresses for recorded audio have in common: who may ask, and that everything is answered."""

from __future__ import annotations

import logging
import uuid
from abc import ABC, abstractmethod
from typing import Any

from config import env
from gateway import process, region_ticket, telemetry
from gateway.consumers import client_address
from gateway.errors import GatewayError, InternalError, MethodNotAllowed
from gateway.recorded.exchange import ClientGone, Exchange, Receive, Send
from gateway.region_errors import RecordedOff
from regions import flags
from tenants.access import KeyGrant, Scope

log = logging.getLogger(__name__)


class Application(ABC):
    path: str

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, str(uuid.uuid4()), stall_s=env.UPLOAD_STALL_SECONDS.read())
        try:
            if scope["method"] != "POST":
                raise self.not_post(scope["method"])
            await self.handle(exchange)
        except ClientGone:
            pass
        except GatewayError as error:
            await self._refuse(exchange, error)
        except Exception:
            log.exception("request %s failed", exchange.request_id)
            await self._refuse(exchange, InternalError())

    @abstractmethod
    async def handle(self, exchange: Exchange) -> None:
        """Answer a POST, or raise what it is refused with."""

    @abstractmethod
    def problem(self, error: GatewayError, request_id: str) -> dict[str, Any]:
        """The body of a refusal."""

    def not_post(self, method: str) -> GatewayError:
        return MethodNotAllowed()

    async def _refuse(self, exchange: Exchange, error: GatewayError) -> None:
        telemetry.streams_refused.labels(error.code).inc()
        if exchange.started:
            raise error  # the server cuts the connection: half an answer must not look whole
        await exchange.refuse(error, {**self.problem(error, exchange.request_id), **error.more})


async def authenticate(exchange: Exchange) -> KeyGrant:
    """Whose request it is, before anything of its body is read."""
    house = process.current()
    house.admit()
    address = client_address(exchange.scope, trusted_proxy=house.trusted_proxy)
    found = await house.authenticator.authenticate(
        exchange.scope, Scope.LISTEN, address, offered=region_ticket.offered(exchange.scope)
    )
    house.regional.check(exchange.scope, found)
    if not house.regional.on(flags.RECORDED, found.grant):
        raise RecordedOff()
    return found.grant
