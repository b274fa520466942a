"""Clients that connect over TLS without a pause, and say whose certificate they were shown.

tls_clients.py PORT CA     until SIGTERM, then one JSON object:

answers    how many new connections got their 200
failures   what went wrong, in words; whoever follows the certificates sees none
seen       for each client the serial numbers it was shown, in order, without repetition
kept       how many answers came on the one connection that was held all the time
"""

import asyncio
import json
import signal
import ssl
import sys

CLIENTS = 4
PIECE = b"GET /blob/17 HTTP/1.1\r\nhost: localhost\r\n"


async def ask(reader, writer, more):
    writer.write(PIECE + more + b"\r\n")
    await writer.drain()
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    body = await asyncio.wait_for(reader.readexactly(17), 10)
    if not head.startswith(b"HTTP/1.1 200") or body != bytes(range(17)):
        raise ValueError(f"not the answer: {head[:40]!r}")


async def main(port, authorities):
    context = ssl.create_default_context(cafile=authorities)
    ending = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    told = {"answers": 0, "failures": [], "seen": [[] for _ in range(CLIENTS)], "kept": 0}

    async def connect():
        opening = asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        return await asyncio.wait_for(opening, 10)

    async def connect_anew(seen):
        while not ending.is_set():
            try:
                reader, writer = await connect()
                serial = writer.get_extra_info("peercert")["serialNumber"]
                await ask(reader, writer, b"connection: close\r\n")
                writer.close()
            except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                told["failures"].append(repr(error))
                return
            told["answers"] += 1
            if not seen or seen[-1] != serial:
                seen.append(serial)

    async def keep():
        try:
            reader, writer = await connect()
            while not ending.is_set():
                await ask(reader, writer, b"")
                told["kept"] += 1
                await asyncio.sleep(0.05)
            writer.close()
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            told["failures"].append("kept: " + repr(error))

    await asyncio.gather(keep(), *(connect_anew(seen) for seen in told["seen"]))
    print(json.dumps(told))


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
