"""The order of things: the origin, memory of each proxy alone, then interleaved rounds.

In a round every proxy is started afresh, and each measure goes through all of them before the next
measure begins, so that what is compared is measured within seconds of each other. Every other round
goes through them backwards. A proxy that is not being driven sleeps.
"""

import shutil
import socket
import sys
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

from .budgets import Results
from .collectors import collectors
from .identity import make_caller
from .machine import Broken, Process, free_port, running_on, split_cores
from .measures import MEASURES, Durations, Subject, delay, latency, memory
from .proxies import CALLER, RELEASE, Proxy

#: The origin without a proxy in front.
DIRECT = "direct"
START_SECONDS = 15.0


class Bench:
    """A run: an origin, a scratch directory, and what was found."""

    def __init__(self, directory: Path, proxies: list[Proxy]):
        self.directory = directory
        self.proxies = proxies
        self.proxy_cores, self.other_cores = split_cores()
        self.results: Results = {}
        #: What the means in the results are of.
        self.taken: dict[tuple[str, int, str], list[float]] = {}
        self.failures: list[str] = []

    @contextmanager
    def origin(self):
        """The service behind, an OTLP sink in it, collectors that fail, and a socket that drops log
        datagrams."""
        if any(proxy.is_gated for proxy in self.proxies):
            self.request = make_caller(self.directory / CALLER)
        self.origin_port = free_port()
        home = self.directory / "origin"
        home.mkdir()
        process = Process(
            [str(RELEASE / "examples" / "origin"), f"127.0.0.1:{self.origin_port}"],
            self.other_cores,
            home,
        )
        drain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        drain.bind(("127.0.0.1", 0))  # nobody reads: the kernel drops what does not fit
        self.log_port = drain.getsockname()[1]
        try:
            process.await_answer(self.origin_port, START_SECONDS)
            with running_on(self.other_cores), collectors() as self.collector_ports:
                yield
        finally:
            drain.close()
            process.stop()

    def start(self, proxy: Proxy) -> Subject:
        """Starts a proxy and waits until it forwards."""
        home = self.directory / proxy.name
        sink = self.collector_ports.get(proxy.fault)
        process, port = proxy.start(
            self.proxy_cores, home, self.origin_port, self.log_port, sink=sink
        )
        try:
            process.await_answer(port, START_SECONDS)
        except BaseException:
            process.stop()
            shutil.rmtree(home, ignore_errors=True)
            raise
        request = f"@{self.request}" if proxy.is_gated else "/json"
        return Subject(port, self.other_cores, process, request)

    def end(self, proxy: Proxy, process: Process) -> None:
        """Stops a proxy and forgets its files, once they have shown that it did its work."""
        home = self.directory / proxy.name
        process.stop()
        is_proven = not proxy.evidence or size(home / proxy.evidence) > 0
        shutil.rmtree(home, ignore_errors=True)
        if not is_proven:
            raise Broken(f"it left no {proxy.evidence}: its figures are not of the whole work")

    def measure_memory(self) -> None:
        """Each alone: pages that two of them share would be counted by halves."""
        for proxy in self.proxies:
            if "memory" not in proxy.aspects:
                continue
            with self.reported(proxy.name, "memory"):
                subject = self.start(proxy)
                try:
                    self.row(proxy.name, 0).update(memory(subject))
                finally:
                    self.end(proxy, subject.process)

    def measure_round(self, number: int, durations: Durations) -> None:
        """Every measure of every proxy: first of the peers, then of those that are there to meet a
        collector that fails. They try again in the background, and nobody else shall feel that."""
        for is_faulty in (False, True):
            if proxies := [proxy for proxy in self.proxies if bool(proxy.fault) == is_faulty]:
                self.measure_group(proxies, number, durations)

    def measure_group(self, proxies: list[Proxy], number: int, durations: Durations) -> None:
        """Every measure of proxies that run side by side."""
        order = proxies if number % 2 == 0 else proxies[::-1]
        # A machine that speeds up or slows down meanwhile does the first and the last in line the same favour.
        there_and_back = (order, order[::-1])
        subjects: dict[str, Subject] = {}
        try:
            for proxy in order:
                with self.reported(proxy.name, "start"):
                    subjects[proxy.name] = self.start(proxy)
            for way in there_and_back:
                self.measure_once("load", way, subjects, number, durations)
            self.measure_once("events", order, subjects, number, durations)
            direct = Subject(self.origin_port, self.other_cores)
            if not order[0].fault:
                self.row(DIRECT, number).update(latency(direct, durations))
            for way in there_and_back:
                self.measure_once("latency", way, subjects, number, durations)
            if not order[0].fault:
                self.row(DIRECT, number).update(delay(direct, durations))
            self.measure_once("delay", order, subjects, number, durations)
            self.measure_once("bodies", order, subjects, number, durations)
            # The noisiest again.
            for way in there_and_back:
                self.measure_once("load", way, subjects, number, durations)
            self.measure_once("events", order[::-1], subjects, number, durations)
        finally:
            for proxy in proxies:
                if proxy.name in subjects:
                    with self.reported(proxy.name, "end"):
                        self.end(proxy, subjects[proxy.name].process)

    def measure_once(
        self,
        aspect: str,
        order: list[Proxy],
        subjects: dict[str, Subject],
        number: int,
        durations: Durations,
    ) -> None:
        """One measure through all proxies that have it; the mean of all where there is one already."""
        for proxy in order:
            if proxy.name not in subjects or aspect not in {"load"} | proxy.aspects:
                continue
            with self.reported(proxy.name, aspect):
                row = self.row(proxy.name, number)
                for metric, value in MEASURES[aspect](subjects[proxy.name], durations).items():
                    taken = self.taken.setdefault((proxy.name, number, metric), [])
                    taken.append(value)
                    row[metric] = mean(taken)

    @contextmanager
    def reported(self, name: str, doing: str):
        """A proxy that breaks costs its own figures, not the run."""
        try:
            yield
        except (Broken, OSError) as failure:
            self.failures.append(f"{name}, {doing}: {failure}")
            print(f"! {self.failures[-1]}", file=sys.stderr)

    def row(self, name: str, number: int) -> dict[str, float]:
        """The figures of one proxy in one round."""
        rows = self.results.setdefault(name, [])
        while len(rows) <= number:
            rows.append({})
        return rows[number]


def size(path: Path) -> int:
    """Bytes of a file; none if it is not there."""
    return path.stat().st_size if path.exists() else 0
