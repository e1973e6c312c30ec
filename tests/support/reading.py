"""Reading VoIPstudio in tests: over real HTTP or from a scripted service, and nothing sleeps."""

from contextlib import asynccontextmanager

import httpx

from tasks.transport import Transport
from tasks.voipstudio.client import ApiKey, VoipStudio

BASE = "https://voip.invalid/v1.2/voipstudio"


class Hours:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds


@asynccontextmanager
async def reading(url=BASE, key="key", handler=None, **more):
    hours = Hours()
    transport = Transport(
        "VoIPstudio",
        url,
        ApiKey(key),
        wire=httpx.MockTransport(handler) if handler else None,
        clock=hours.clock,
        sleep=hours.sleep,
        **more,
    )
    try:
        yield VoipStudio(transport, account="acme")
    finally:
        await transport.close()
