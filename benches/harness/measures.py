"""What is measured of one running proxy.

Each measure drives the load generator through the proxy and returns named figures; CPU is the
proxy's alone, read before and after. The load generator stops at the first failed request, so a
figure that exists was made of good answers only.
"""

import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass

from .machine import Broken, Process, running_on
from .proxies import RELEASE

LOAD = RELEASE / "examples" / "load"
CONNECTIONS = 50
LATENCY_RATE = 2000
LATENCY_CONNECTIONS = 4
BODY_CONNECTIONS = 4
EVENT_CLIENTS = 100
EVENTS_PER_SECOND = 100
DELAY_CLIENTS = 8
ANSWER_BYTES = 1024
IDLE_BEFORE = 100
#: Connections that are measured; with the first ones below the 10,000 that the sidecar takes by default.
IDLE_MORE = int(os.environ.get("BENCH_IDLE", "1000"))
SETTLE = 0.5
#: Seconds after which a run of the load generator is given up; all of them are much shorter.
PATIENCE = 60

Figures = dict[str, float]


@dataclass(frozen=True)
class Durations:
    """How long each measure drives a proxy, in seconds."""

    warm: float
    load: float
    latency: float
    bodies: float
    events: float


def drive(cores: set[int], *arguments: object) -> Figures:
    """Runs the load generator and returns what it prints."""
    argv = [str(LOAD), *map(str, arguments)]
    with running_on(cores):
        try:
            run = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Broken(f"{' '.join(argv[1:])}: not done in {PATIENCE} s") from None
    if run.returncode != 0:
        raise Broken(f"{' '.join(argv[1:])}: {run.stderr.strip()}")
    return json.loads(run.stdout)


@dataclass
class Subject:
    """A proxy that runs, or the origin itself, and the cores of everything around it."""

    port: int
    cores: set[int]
    process: Process | None = None
    #: What it is asked for: a path, or `@` and the file of a request.
    request: str = "/json"

    def drive_closed(self, path: str, connections: int, unit: str, amount: object) -> Figures:
        """A closed loop through the subject, with the seconds that it ran, and waited to run."""
        before = self.process.cpu_seconds()
        figures = drive(
            self.cores, "closed", f"127.0.0.1:{self.port}", path, connections, unit, amount
        )
        after = self.process.cpu_seconds()
        return {**figures, "cpu": after[0] - before[0], "waited": after[1] - before[1]}


def saturation(subject: Subject, durations: Durations) -> Figures:
    """As many requests as it can answer."""
    subject.drive_closed(subject.request, CONNECTIONS, "seconds", durations.warm)
    run = subject.drive_closed(subject.request, CONNECTIONS, "seconds", durations.load)
    return {
        "request_us": run["cpu"] * 1e6 / run["requests"],
        "requests_per_second": run["requests"] / run["seconds"],
        "core_percent": 100 * run["cpu"] / run["seconds"],
        "waited_percent": 100 * run["waited"] / run["seconds"],
    }


def latency(subject: Subject, durations: Durations) -> Figures:
    """The wait at a rate that none of them finds hard."""
    run = drive(
        subject.cores,
        "open",
        f"127.0.0.1:{subject.port}",
        "/json",
        LATENCY_CONNECTIONS,
        LATENCY_RATE,
        durations.latency,
    )
    return {"p50_us": run["p50_us"]}


def bodies(subject: Subject, durations: Durations) -> Figures:
    """Answers of 10 MiB."""
    run = subject.drive_closed("/body", BODY_CONNECTIONS, "seconds", durations.bodies)
    return {"body_ms_per_gib": run["cpu"] * 1e3 / (run["bytes"] / 2**30)}


def events(subject: Subject, durations: Durations) -> Figures:
    """Event streams, each event sent alone."""
    count = max(1, round(durations.events * EVENTS_PER_SECOND))
    run = subject.drive_closed(f"/sse/{count}", EVENT_CLIENTS, "requests", EVENT_CLIENTS)
    return {"event_us": run["cpu"] * 1e6 / (EVENT_CLIENTS * count)}


def delay(subject: Subject, durations: Durations) -> Figures:
    """How long an event is on its way, on few streams."""
    count = max(1, round(durations.events * EVENTS_PER_SECOND))
    run = drive(
        subject.cores, "events", f"127.0.0.1:{subject.port}", f"/sse/{count}", DELAY_CLIENTS
    )
    return {"event_p50_us": run["p50_us"]}


def memory(subject: Subject) -> Figures:
    """A proxy that has just started, and what a client's idle connection adds."""
    time.sleep(SETTLE)
    started = subject.process.memory_bytes()
    clients: list[socket.socket] = []
    try:
        # The first clients pay for what is allocated once.
        hold(clients, subject.port, IDLE_BEFORE)
        few = subject.process.memory_bytes()
        hold(clients, subject.port, IDLE_MORE)
        many = subject.process.memory_bytes()
    finally:
        for client in clients:
            client.close()
    return {"started_mib": started / 2**20, "idle_kib": (many - few) / IDLE_MORE / 1024}


def hold(clients: list[socket.socket], port: int, count: int) -> None:
    """Opens connections that make one request each and stay."""
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), 5)
        clients.append(client)
        client.sendall(b"GET /json HTTP/1.1\r\nHost: idle\r\nUser-Agent: idle/1\r\n\r\n")
        received = b""
        while len(received.partition(b"\r\n\r\n")[2]) < ANSWER_BYTES:
            block = client.recv(65536)
            if not block:
                raise Broken("an idle client was sent away")
            received += block
    time.sleep(SETTLE)


#: What is measured in rounds, by aspect.
MEASURES = {"load": saturation, "latency": latency, "bodies": bodies, "events": events, "delay": delay}
