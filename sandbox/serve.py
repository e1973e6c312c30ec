"""Starts both modelled services: in a thread of this process, in a child process, or on the command line.

For a developer in a hurry::

    with Sandbox.threaded(contacts=20) as box:
        httpx.get(f"{box.voipstudio_url}/contacts", headers={"X-Auth-Token": box.api_key})
        box.edit_source("contacts", 3, first_name="Anne")
        box.fault("commit_then_status", method="POST", path="/notes$", status=502, count=1)
        box.contacts(), box.counters()["highlevel"]["writes"]

The keyword arguments are the fields of ``sandbox.scenario.Scenario``. ``Sandbox.process`` has the same
surface in a process of its own, over the control API that ``sandbox.control`` describes; fault kinds stand in
``sandbox.faults``. ``python -m sandbox.serve`` serves until its standard input closes or SIGTERM comes;
its one line of output holds the addresses and credentials.

Where the services' documentation leaves something open, the modules say at the top what was decided. The
endpoints for notes, tasks and appointments of VoIPstudio are an extension that its documentation lacks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sandbox import highlevel, voipstudio
from sandbox.client import Box
from sandbox.control import PREFIX, Control
from sandbox.gate import Gate
from sandbox.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.asgi import App, Receive, Scope, Send
    from sandbox.wire import Row

LOOPBACK = "127.0.0.1"


class _Joined:
    """A transport that sends the head and the body of a response as one packet: half the system calls."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Holds a head back until what follows it is written."""
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):
            self._head = data
        elif self._head or data:
            self._transport.write(self._head + data)
            self._head = b""

    def close(self) -> None:
        """Closes after what is held back."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - everything else is the transport's own
        return getattr(self._transport, name)


class Protocol(H11Protocol):
    """uvicorn's protocol, which also lets the application reach the raw connection, to spoil it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hands the transport on in every request's scope."""
        super().connection_made(_Joined(transport))  # type: ignore[arg-type]
        inner: Any = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["sandbox.transport"] = transport
            await inner(scope, receive, send)

        self.app = app


class _Server(uvicorn.Server):
    """A server that leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Does nothing."""
        yield


class Servers:
    """Both services on loopback ports, sharing one event loop."""

    def __init__(self, scenario: Scenario, ports: tuple[int, int] = (0, 0)) -> None:
        self.voipstudio = voipstudio.VoipStudio()
        self.highlevel = highlevel.HighLevel()
        self.control = Control(self.voipstudio, self.highlevel, scenario)
        self._sockets = [_listen(port) for port in ports]
        self._servers = [_Server(_config(self._app(Gate(service)))) for service in self.control.services]
        addresses = [f"http://{LOOPBACK}:{item.getsockname()[1]}" for item in self._sockets]
        self.voipstudio_url = addresses[0] + voipstudio.PREFIX
        self.highlevel_url = addresses[1]

    def _app(self, gate: Gate) -> App:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            serve = self.control.serve if scope["path"].startswith(PREFIX) else gate
            await serve(scope, receive, send)

        return app

    @property
    def started(self) -> bool:
        """Whether both accept connections."""
        return all(server.started for server in self._servers)

    def info(self) -> Row:
        """Addresses and credentials."""
        urls = {"voipstudio_url": self.voipstudio_url, "highlevel_url": self.highlevel_url}
        return {**urls, **self.control.credentials}

    async def serve(self, ready: Callable[[], None] | None = None) -> None:
        """Serves until ``stop``."""
        pairs = zip(self._servers, self._sockets, strict=True)
        tasks = [asyncio.create_task(server.serve(sockets=[item])) for server, item in pairs]
        while not self.started and not any(task.done() for task in tasks):  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.005)
        if ready is not None:
            ready()
        await asyncio.gather(*tasks)

    def stop(self) -> None:
        """Ends both, from any thread."""
        for server in self._servers:
            server.should_exit = True


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else no TCP_NODELAY
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.listen(2048)
    return listener


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app, http=Protocol, ws="none", lifespan="off", loop="asyncio", log_config=None, log_level="critical",
        access_log=False, proxy_headers=False, server_header=False, date_header=False,
        timeout_graceful_shutdown=1, timeout_keep_alive=75,
    )  # fmt: skip


class Sandbox:
    """The ways to start; both answer a ``sandbox.client.Box``."""

    @staticmethod
    @contextlib.contextmanager
    def threaded(**scenario: Any) -> Iterator[Box]:  # noqa: ANN401 - the fields of Scenario
        """Both services in a thread; ``box.voipstudio`` and ``box.highlevel`` are their states."""
        servers = Servers(Scenario(**scenario))
        ready = threading.Event()
        thread = threading.Thread(
            target=lambda: asyncio.run(servers.serve(ready.set)), name="sandbox", daemon=True
        )
        thread.start()
        if not ready.wait(20):
            raise RuntimeError("the sandbox did not start")
        try:
            yield Box(servers.info(), servers.control.perform, servers.voipstudio, servers.highlevel)
        finally:
            servers.stop()
            thread.join(10)

    @staticmethod
    @contextlib.contextmanager
    def process(**scenario: Any) -> Iterator[Box]:  # noqa: ANN401 - the fields of Scenario
        """Both services in a child process, which ends with this one."""
        from sandbox.child import start  # noqa: PLC0415 - httpx and subprocess only where they are needed

        with start(scenario) as box:
            yield box


async def _main(scenario: Scenario, ports: tuple[int, int]) -> None:
    servers = Servers(scenario, ports)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, servers.stop)

    def wait_for_the_end_of_input() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):  # not sys.stdin: its lock would be held while Python ends
                pass
        servers.stop()

    def announce() -> None:
        sys.stdout.write(json.dumps(servers.info()) + "\n")
        sys.stdout.flush()
        threading.Thread(target=wait_for_the_end_of_input, daemon=True).start()

    await servers.serve(announce)


def main() -> None:
    """``python -m sandbox.serve [--json SCENARIO] [--ports VOIPSTUDIO,HIGHLEVEL]``."""
    parser = argparse.ArgumentParser(prog="sandbox.serve", description="Serves the modelled services.")
    parser.add_argument("--json", default="{}", metavar="SCENARIO", help="fields of the scenario, as JSON")
    parser.add_argument("--ports", default="0,0", help="ports of VoIPstudio and HighLevel; 0 is any")
    arguments = parser.parse_args()
    first, _, second = arguments.ports.partition(",")
    asyncio.run(_main(Scenario(**json.loads(arguments.json)), (int(first), int(second or 0))))


if __name__ == "__main__":
    main()
