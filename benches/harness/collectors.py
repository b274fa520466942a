"""OTLP collectors that do not do their part, each in its own way.

They run in a thread of the bench, on the cores of everything but the proxy; a sidecar asks them a
few times a second at most. What a request says is read and dropped.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import contextmanager, suppress

#: Seconds that the slow one takes: less than the patience of any client.
SLOW_SECONDS = 2.0

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes the request and says nothing, until the client gives up."""
    await reader.read()


async def take_slowly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the request after a while."""
    await asyncio.sleep(SLOW_SECONDS)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def be_unavailable(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends the client away, to come back when it likes."""
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


async def be_busy(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends the client away for a second."""
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    writer.write(head)


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Breaks the connection."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


#: The one that fails in no way: the origin's own sink.
HEALTHY = "healthy"
#: What a collector does with a request; one that is dead never gets any.
FAULTS: dict[str, Answer | None] = {
    "dead": None,
    "hanging": hang,
    "slow": take_slowly,
    "503": be_unavailable,
    "429": be_busy,
    "resetting": reset,
}


@contextmanager
def collectors():
    """Runs one collector of each kind; gives their ports."""
    sockets = {name: bound() for name in FAULTS}
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="collectors")
    thread.start()
    try:
        for name, answer in FAULTS.items():
            if answer:
                serving = asyncio.start_server(talk_with(answer), sock=sockets[name])
                asyncio.run_coroutine_threadsafe(serving, loop).result()
        yield {name: bound.getsockname()[1] for name, bound in sockets.items()}
    finally:
        asyncio.run_coroutine_threadsafe(cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        for each in sockets.values():
            each.close()


def bound() -> socket.socket:
    """A port that nobody else gets. Until it listens, it refuses whoever comes."""
    each = socket.socket()
    each.bind(("127.0.0.1", 0))
    return each


def talk_with(answer: Answer):
    """A server's side of a connection that answers every request alike."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(length(head))
                await answer(reader, writer)
                await writer.drain()
        writer.close()

    return talk


def length(head: bytes) -> int:
    """What the head says of its body."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def cancel_all() -> None:
    """Ends every connection that is still open."""
    running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
