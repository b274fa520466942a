"""The same server as ws_server.js, by the Python package `websockets`: usage: ws_server.py PORT"""

import asyncio
import http
import sys

import websockets
from websockets.asyncio.server import serve


def judge(connection, request):
    if request.path == "/denied":
        return connection.respond(http.HTTPStatus.FORBIDDEN, "no\n")
    return None


def choose(_connection, offered):
    return "echo.v2" if "echo.v2" in offered else None


async def echo(socket):
    try:
        async for message in socket:
            word, *rest = message.split(" ") if isinstance(message, str) else [None]
            if word == "close":
                await socket.close(int(rest[0]), rest[1])
            elif word == "vanish":
                socket.transport.abort()
            else:
                await socket.send(message)
    except websockets.ConnectionClosed:
        pass


async def main(port):
    serving = serve(
        echo, "127.0.0.1", port, process_request=judge, select_subprotocol=choose,
        max_size=64 << 20,
    )
    async with serving:
        await asyncio.Future()


asyncio.run(main(int(sys.argv[1])))
