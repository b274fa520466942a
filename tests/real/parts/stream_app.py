"""An ASGI app for uvicorn whose streams go on only when they are told to.

GET  /events/NAME   text/event-stream: event 0 at once, each further one after a POST; 20 in all
GET  /lines/NAME    the same as application/x-ndjson
POST /next/NAME     lets the stream NAME send one more
GET  /left/NAME     200 once the reader of stream NAME has left before its end, else 404
"""

import asyncio
import collections

EVENTS = 20

told = collections.defaultdict(lambda: asyncio.Semaphore(0))
left = set()


def event(number):
    return b"id: %d\nevent: step\ndata: {\"number\": %d}\n\n" % (number, number)


def line(number):
    return b'{"number": %d}\n' % number


async def stream(name, kind, form, receive, send):
    async def watch():
        while (await receive())["type"] != "http.disconnect":
            pass
        left.add(name)

    watcher = asyncio.create_task(watch())
    headers = [(b"content-type", kind), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(EVENTS):
        if number:
            go_on = asyncio.create_task(told[name].acquire())
            await asyncio.wait({go_on, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if name in left:
                go_on.cancel()
                return
        await send({"type": "http.response.body", "body": form(number), "more_body": True})
    watcher.cancel()
    await send({"type": "http.response.body", "body": b""})


async def answer(send, status):
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    _, word, name = scope["path"].split("/")
    if word == "events":
        await stream(name, b"text/event-stream", event, receive, send)
    elif word == "lines":
        await stream(name, b"application/x-ndjson", line, receive, send)
    elif word == "next":
        told[name].release()
        await answer(send, 204)
    else:
        await answer(send, 200 if name in left else 404)
