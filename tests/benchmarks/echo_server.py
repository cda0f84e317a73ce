"""`python -m tests.benchmarks.echo_server PORT`: the least that Channels and Daphne can do with a packet.

The plainest consumer on the plainest Daphne, to compare the gateway with.
"""

from __future__ import annotations

import sys

from daphne.server import Server  # isort: skip  # first: it installs the reactor

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


def main() -> None:
    settings.configure()
    endpoint = f"tcp:port={int(sys.argv[1])}:interface=127.0.0.1"
    Server(Echo.as_asgi(), endpoints=[endpoint], verbosity=0, server_name="").run()


if __name__ == "__main__":
    main()
