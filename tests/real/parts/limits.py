"""Judges limits that replicas share. Prints one line of JSON, or what differs and exit status 1.

limits.py script PORT USER:PASSWORD FILE STEPS   the script in FILE against a model, on a real server
limits.py burst PORTS KEY COUNT                  COUNT requests at once, spread over the replicas
limits.py drive PORTS KEY SECONDS GAP_MS         a request every GAP_MS, in turn to each replica
limits.py delay PORT TARGET FILE                 a proxy that holds every piece back for as many ms as
                                                 FILE says when the piece comes
"""

import asyncio
import json
import random
import socket
import sys
import time

SECOND = 10**9


# --- the script -----------------------------------------------------------------------------------

# Stands in front of the script: time is what the check says it is, and what would expire is told.
STAGE = """
local real, told = redis, {}
local redis = {call = function(command, ...)
  if command == 'TIME' then return {ARGV[7], ARGV[8]} end
  local words = {...}
  if command == 'SET' then
    told = {words[2], words[4]}
    return real.call('SET', words[1], words[2])
  end
  return real.call(command, ...)
end}
local function script() %s end
local answer = script()
return {answer[1], answer[2], answer[3], told[1] or '', told[2] or ''}
"""


class Server:
    def __init__(self, port, credentials):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")
        if credentials:
            assert self.ask("AUTH", *credentials.split(":")) == b"OK"

    def ask(self, *words):
        words = [str(word).encode() for word in words]
        parts = [b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(w), w) for w in words]
        self.socket.sendall(b"".join(parts))
        return self.read()

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            sys.exit(f"the server answers {rest.decode()}")
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        return rest


def halves(amount):
    whole, part = divmod(abs(amount), SECOND)
    return (whole, part) if amount >= 0 else (-whole, -part)


def script(port, credentials, file, steps):
    """A bucket as a user imagines it: a level that time fills, in whole nanoseconds."""
    server = Server(int(port), credentials)
    text = STAGE % open(file, encoding="utf-8").read()
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    now, refused, key, size, level = 1_700_000_000 * SECOND, 0, None, 0, 0
    for step in range(int(steps)):
        if step % 40 == 0:
            # From ten thousand a second to one in a year, with bursts of up to four billion.
            interval = dice.choice([100_000, 142_857_142, SECOND, 86_400 * SECOND, 31_622_400 * SECOND])
            interval += dice.randrange(1000)
            burst = dice.choice([1, 2, 5, 100, 2**32 - 1])
            burst = min(burst, 100 * 31_622_400 * SECOND // interval)
            key, size = f"sidecar:{{check-{seed}-{step}}}", interval * burst
            level = size
        pause = dice.choice([0, 0, 1000, interval // 2, interval, interval * 3, size])
        pause -= pause % 1000  # The server's clock has microseconds.
        now, level = now + pause, min(size, level + pause)
        cost = interval * dice.choice([0, 1, 1, 1, min(3, burst), burst])
        due = dice.choice([0] * 6 + [interval, interval // 3, -interval, 7 * interval, -size])
        level = min(size, level - due)
        taken = cost == 0 or cost <= level
        level -= cost if taken else 0
        refused += not taken
        seconds, nanos = divmod(now, SECOND)
        arguments = [half for amount in (cost, size, due) for half in halves(amount)]
        answer = server.ask("EVAL", text, 1, key, *arguments, seconds, nanos // 1000)
        lacks = size - level
        expected = [int(taken), *divmod(lacks, SECOND)]
        if answer[:3] != expected:
            sys.exit(f"seed {seed}, step {step}: {answer[:3]} is not {expected}")
        if answer[3]:
            full = "%d %d" % divmod(now + lacks, SECOND)
            if answer[3].decode() != full or int(answer[4]) != -(-lacks // 1_000_000):
                sys.exit(f"seed {seed}, step {step}: holds {answer[3:]} for {full}, {lacks} ns")
    if not 0 < refused < int(steps):
        sys.exit(f"seed {seed}: {refused} refused proves nothing")
    print(json.dumps({"steps": int(steps), "refused": refused}))


# --- requests -------------------------------------------------------------------------------------

class Tally:
    def __init__(self):
        self.passed = self.refused = 0
        self.other = []
        self.longest = 0.0
        self.began = time.monotonic()

    async def ask(self, port, key):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        request = f"GET /blob/1 HTTP/1.1\r\nhost: real.test\r\nx-key: {key}\r\nconnection: close\r\n\r\n"
        began = time.monotonic()
        writer.write(request.encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1")
        self.longest = max(self.longest, time.monotonic() - began)
        writer.close()
        status = int(head.split(" ")[1])
        if status == 200:
            self.passed += 1
        elif status == 429:
            self.refused += 1
        else:
            self.other.append(status)

    def show(self):
        seconds = time.monotonic() - self.began
        print(json.dumps({
            "passed": self.passed, "refused": self.refused, "other": self.other,
            "longest_ms": round(self.longest * 1000, 1), "seconds": round(seconds, 3),
        }))


async def burst(ports, key, count):
    tally, ports = Tally(), ports.split(",")
    await asyncio.gather(*(tally.ask(ports[n % len(ports)], key) for n in range(int(count))))
    tally.show()


async def drive(ports, key, seconds, gap):
    tally, ports, asked = Tally(), ports.split(","), []
    end, number = time.monotonic() + float(seconds), 0
    while time.monotonic() < end:
        asked.append(asyncio.ensure_future(tally.ask(ports[number % len(ports)], key)))
        number += 1
        await asyncio.sleep(float(gap) / 1000)
    await asyncio.gather(*asked)
    tally.show()


# --- a slow way -----------------------------------------------------------------------------------

async def delay(port, target, file):
    async def pump(reader, writer):
        while piece := await reader.read(65536):
            await asyncio.sleep(float(open(file, encoding="ascii").read()) / 1000)
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def serve(reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", int(target))
            await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))
        except OSError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", int(port))
    await server.serve_forever()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:] or [""]
    if command == "script":
        script(*arguments)
    elif command in ("burst", "drive", "delay"):
        asyncio.run({"burst": burst, "drive": drive, "delay": delay}[command](*arguments))
    else:
        sys.exit(__doc__)
