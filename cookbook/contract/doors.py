"""A door before a real part, which a test can shut.

What is tested is how a service does without its store, and the store is
other tests' too: so not the store is stopped, but the way to it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cookbook.contract.processes import listen, reserve_port
from cookbook.contract.realparts import PARTS

BUFFER = 1 << 16


class Door:
    """A way to the part called `name`; `url` leads through it.

    Open at first. `cut` closes every connection and refuses new ones,
    `hang` lets nothing through either way, `restore` opens it again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._reservation = reserve_port()
        self._port: int = self._reservation.getsockname()[1]
        self._behind = urlsplit(PARTS[name].url)
        self.url = self.through(PARTS[name].url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, daemon=True
        )
        self._moving = asyncio.Event()
        self._ways: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def through(self, url: str) -> str:
        """Lead a URL of the part through the door."""
        split = urlsplit(url)
        login, at, _ = split.netloc.rpartition("@")
        netloc = f"{login}{at}127.0.0.1:{self._port}"
        return urlunsplit(split._replace(netloc=netloc))

    def open(self) -> None:
        """Begin to let through."""
        self._thread.start()
        self.restore()

    def cut(self) -> None:
        """Close every connection, refuse new ones."""
        self._do(self._cut())

    def hang(self) -> None:
        """Let nothing through, and tell nobody."""
        self._do(self._hang())

    def restore(self) -> None:
        """Let through again."""
        self._do(self._restore())

    def close(self) -> None:
        """Leave nothing behind."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reservation.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    async def _hang(self) -> None:
        self._moving.clear()

    async def _restore(self) -> None:
        self._moving.set()
        if self._server is None:
            self._server = await asyncio.start_server(
                self._let_through, sock=listen(self._port)
            )

    async def _let_through(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        way = asyncio.ensure_future(self._join(reader, writer))
        self._ways.add(way)
        way.add_done_callback(self._ways.discard)

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Join both ends until one of them closes, or the door is cut."""
        there = None
        leave: Callable[[Any], None] = asyncio.WriteTransport.close
        try:
            await self._moving.wait()
            back, there = await asyncio.open_connection(
                self._behind.hostname, self._behind.port
            )
            ends = (self._pass(reader, there), self._pass(back, writer))
            sides = [asyncio.ensure_future(end) for end in ends]
            try:
                await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for side in sides:
                    side.cancel()
                await asyncio.gather(*sides, return_exceptions=True)
        except OSError:
            pass
        except asyncio.CancelledError:
            leave = asyncio.WriteTransport.abort
        finally:
            for end in (writer, there):
                if end is not None:
                    leave(end.transport)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(BUFFER):
            await self._moving.wait()
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def breakable(part: str) -> Iterator[Door]:
    """Put a door before a real part, for one test."""
    door = Door(part)
    door.open()
    with contextlib.closing(door):
        yield door
