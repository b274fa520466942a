"""Talks to ws_server.js or ws_server.py and compares everything that comes back.

ws_client.py talk URL [CA]     messages of every shape, and every way to end; one line per finding
ws_client.py crowd URL COUNT   COUNT connections at once, 20 messages each
"""

import asyncio
import os
import ssl
import sys

import websockets
from websockets.asyncio.client import connect

# Where the length of a frame changes its form, and well beyond any buffer.
SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, 3_000_000]


def opened(url, **options):
    return connect(url, max_size=64 << 20, proxy=None, open_timeout=10, **options)


async def heard(socket):
    return await asyncio.wait_for(socket.recv(), 10)


async def echoes(socket):
    for size in SIZES:
        for message in (os.urandom(size), "ä" * (size // 2)):
            await socket.send(message)
            if await heard(socket) != message:
                sys.exit(f"{type(message).__name__} of {size} came back changed")
    # One message in many frames, and a ping between two messages.
    await socket.send(piece for piece in ["one ", "two ", "", "three"])
    if await heard(socket) != "one two three":
        sys.exit("a message in pieces came back changed")
    await asyncio.wait_for(await socket.ping(b"are you there"), 10)
    # Many messages under way at once keep their order.
    await asyncio.gather(*(socket.send(f"number-{number}") for number in range(500)))
    if [await heard(socket) for _ in range(500)] != [f"number-{number}" for number in range(500)]:
        sys.exit("messages lost their order")


async def ending(url, options, message):
    """How a connection ends after that message: what the client is told of it."""
    async with opened(url, **options) as socket:
        await socket.send(message)
        try:
            return f"unexpectedly {await heard(socket)!r}"
        except websockets.ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else "without a word"


async def talk(url, options):
    for compression in ("deflate", None):
        async with opened(url, compression=compression, **options) as socket:
            await echoes(socket)
            extension = socket.response.headers.get("sec-websocket-extensions", "none")
            print(f"echoes, extension {extension.split(';')[0]}")
            await socket.close(3001, "enough")
            print("closed by the client:", socket.close_code, socket.close_reason)
    async with opened(url, subprotocols=["echo.v9", "echo.v2"], **options) as socket:
        print("subprotocol", socket.subprotocol)
    for message in ("close 1000 done", "close 4001 asked", "close 1011 broken", "vanish"):
        print(message, "->", await ending(url, options, message))
    try:
        async with opened(url + "denied", **options):
            sys.exit("a denied handshake succeeded")
    except websockets.InvalidStatus as refusal:
        print("denied ->", refusal.response.status_code)


async def crowd(url, count):
    async def one(number):
        async with opened(url) as socket:
            for turn in range(20):
                await socket.send(f"{number}/{turn}")
                if await heard(socket) != f"{number}/{turn}":
                    sys.exit("somebody else's message")

    await asyncio.gather(*(one(number) for number in range(count)))
    print(f"{count} connections, each with its own messages")


def main(command, url, *arguments):
    if command == "crowd":
        asyncio.run(crowd(url, int(arguments[0])))
    else:
        options = {"ssl": ssl.create_default_context(cafile=arguments[0])} if arguments else {}
        asyncio.run(talk(url, options))


main(*sys.argv[1:])
