"""Sends requests over keep-alive connections and judges every answer, byte by byte.

drive.py blobs PORT COUNT         COUNT requests of GET /blob/N in many sizes; all bytes compared
drive.py download PORT PATH FILE  the body's sha256 must be that of FILE; nothing is stored
drive.py upload PORT PATH FILE    FILE with a content-length; the answer must be its sha256
drive.py posts PORT SECONDS OUT   POST /api/orchestrate until the time is up or nobody answers;
                                  one line `status request-id` per answer goes to OUT
drive.py refused PORT COUNT       COUNT of the same posts over kept connections, each answered 403
drive.py gets PORT PATH COUNT     COUNT requests; prints how often each status came

Prints one line on success; any difference is a message and exit status 1.
"""

import asyncio
import collections
import hashlib
import http.client
import os
import sys
import time

PATTERN = bytes(range(256)) * 256
SIZES = [0, 1, 17, 1024, 4096, 16_384, 65_536, 100_000]
CONNECTIONS = 16
PIECE = 1 << 20


def blob(size):
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


async def read_answer(reader):
    """Reads one answer: status, headers (names in lower case), body."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ")[1])
    headers = {}
    for line in filter(None, lines[1:]):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return status, headers, body


async def blobs(port, count):
    expected = {size: blob(size) for size in SIZES}
    numbers = iter(range(count))

    async def one_connection():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            size = SIZES[number % len(SIZES)]
            writer.write(b"GET /blob/%d HTTP/1.1\r\nhost: real.test\r\n\r\n" % size)
            await writer.drain()
            status, headers, body = await asyncio.wait_for(read_answer(reader), 30)
            if status != 200 or body != expected[size]:
                sys.exit(f"request {number}: status {status}, {len(body)} of {size} bytes alike?")
            if "x-request-id" not in headers:
                sys.exit(f"request {number}: no x-request-id on the answer")
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
    print(f"{count} answers alike in {time.monotonic() - started:.1f} s")


async def posts(port, seconds, out):
    """Load that outlives a crash: it ends when connecting fails or the time is up."""
    deadline = time.monotonic() + seconds
    answers = []
    body = b'{"query":"hello","mode":"rag_query"}'
    request = (
        b"POST /api/orchestrate HTTP/1.1\r\nhost: real.test\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )

    async def one_connection():
        while time.monotonic() < deadline:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            try:
                while time.monotonic() < deadline:
                    writer.write(request)
                    await writer.drain()
                    status, headers, _ = await asyncio.wait_for(read_answer(reader), 10)
                    if not answers:
                        print("the first answer", flush=True)
                    answers.append((status, headers.get("x-request-id", "-")))
                    if headers.get("connection", "").lower() == "close":
                        break
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
                pass
            finally:
                writer.close()

    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
    with open(out, "a", encoding="ascii") as file:
        file.writelines(f"{status} {request_id}\n" for status, request_id in answers)
    print(f"{len(answers)} answers")


async def refused(port, count):
    numbers = iter(range(count))

    async def one_connection():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            writer.write(b"POST /api/orchestrate HTTP/1.1\r\nhost: real.test\r\ncontent-length: 0\r\n\r\n")
            status, _, _ = await asyncio.wait_for(read_answer(reader), 30)
            if status != 403:
                sys.exit(f"request {number}: status {status}")
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
    print(f"{count} refused in {time.monotonic() - started:.1f} s")


async def gets(port, path, count):
    numbers = iter(range(count))
    seen = collections.Counter()

    async def one_connection():
        for _ in numbers:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\nhost: real.test\r\n\r\n".encode())
            status, _, _ = await asyncio.wait_for(read_answer(reader), 30)
            seen[status] += 1
            writer.close()

    await asyncio.gather(*(one_connection() for _ in range(CONNECTIONS)))
    print(*(f"{status}:{seen[status]}" for status in sorted(seen)))


def pieces_of(path):
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece


def digest_of(pieces):
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def download(port, path, file):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    got = digest_of(iter(lambda: response.read(PIECE), b""))
    if response.status != 200 or got != digest_of(pieces_of(file)):
        sys.exit(f"status {response.status}: the bytes differ")
    print("alike")


def upload(port, path, file):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-length": str(os.path.getsize(file))}
    connection.request("PUT", path, body=pieces_of(file), headers=headers)
    response = connection.getresponse()
    got = response.read().decode("ascii", "replace").strip()
    if response.status != 200 or got != digest_of(pieces_of(file)):
        sys.exit(f"status {response.status}: the server read other bytes ({got[:80]})")
    print("alike")


def main(command, *arguments):
    port = int(arguments[0])
    if command == "blobs":
        asyncio.run(blobs(port, int(arguments[1])))
    elif command == "posts":
        asyncio.run(posts(port, float(arguments[1]), arguments[2]))
    elif command == "refused":
        asyncio.run(refused(port, int(arguments[1])))
    elif command == "gets":
        asyncio.run(gets(port, arguments[1], int(arguments[2])))
    elif command == "download":
        download(port, *arguments[1:])
    elif command == "upload":
        upload(port, *arguments[1:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
