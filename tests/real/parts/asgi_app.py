"""A small ASGI app for uvicorn: fixed bodies, an echo, a digest, and a span of its own.

GET  /blob/N     N bytes of a fixed pattern
POST /echo       the body, streamed back
GET  /gib        the file named by $SERVED_FILE, streamed
PUT  /digest     sha256 of the body, which is read as it arrives and never held
GET  /traced     posts a span below the caller's `traceparent` to $OTLP_ENDPOINT; answers its ids
"""

import asyncio
import hashlib
import json
import os
import time
import urllib.request

PATTERN = bytes(range(256)) * 256


def blob(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


async def read(receive):
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client left")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def answer(send, status, body, kind=b"application/octet-stream"):
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def post_child_span(traceparent):
    """Sends one SERVER span whose parent is the span named by the header."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    _, trace_id, parent_id, _ = traceparent.split("-")
    span_id = os.urandom(8)
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.append(
        KeyValue(key="service.name", value=AnyValue(string_value="app-behind"))
    )
    span = resource_spans.scope_spans.add().spans.add()
    span.name = "app.work"
    span.kind = span.SPAN_KIND_SERVER
    span.trace_id = bytes.fromhex(trace_id)
    span.span_id = span_id
    span.parent_span_id = bytes.fromhex(parent_id)
    span.end_time_unix_nano = time.time_ns()
    span.start_time_unix_nano = span.end_time_unix_nano - 1_000_000
    post = urllib.request.Request(
        os.environ["OTLP_ENDPOINT"] + "/v1/traces",
        data=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    urllib.request.urlopen(post, timeout=5).close()
    return {"trace_id": trace_id, "parent_id": parent_id, "span_id": span_id.hex()}


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    path = scope["path"]
    if path.startswith("/blob/"):
        await answer(send, 200, blob(int(path.removeprefix("/blob/"))))
    elif path == "/gib":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with open(os.environ["SERVED_FILE"], "rb") as file:
            while piece := file.read(1 << 20):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/echo":
        headers = [(b"content-type", b"application/octet-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async for piece in read(receive):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/digest":
        digest = hashlib.sha256()
        async for piece in read(receive):
            digest.update(piece)
        await answer(send, 200, digest.hexdigest().encode(), b"text/plain")
    elif path == "/traced":
        traceparent = dict(scope["headers"])[b"traceparent"].decode()
        ids = await asyncio.to_thread(post_child_span, traceparent)
        await answer(send, 200, json.dumps(ids).encode(), b"application/json")
    else:
        await answer(send, 404, b"not here\n", b"text/plain")
