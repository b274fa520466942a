"""Processes on this machine: where they run, what they cost, and how they end.

A process is started on given cores, and ended by the ids that it and its children had. CPU time is
the kernel's own account of every thread, so it holds whatever the load was. Nothing here knows what
a proxy is.
"""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class Broken(Exception):
    """Something that was started did not do its part; the text says what."""


def find_program(name: str) -> str | None:
    """Where a program is; Debian keeps daemons out of an ordinary user's path."""
    return shutil.which(name, path=PROGRAM_PATH)


def split_cores() -> tuple[set[int], set[int]]:
    """One core for the proxy under test, the others for everything else."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, set(cores[1:]) or {cores[0]}


def allow_many_files() -> None:
    """Raises the soft limit to the hard one; what is started inherits it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_on(cores: set[int]):
    """What is started inside inherits these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Process:
    """A started program and its children."""

    def __init__(self, argv: list[str], cores: set[int], directory: Path):
        self.directory = directory
        self.errors = directory / "stderr"
        with running_on(cores), open(self.errors, "wb") as errors:
            self.child = subprocess.Popen(
                argv,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def family(self) -> list[int]:
        """Ids of the process and all it started."""
        found = [self.child.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    found += [int(word) for word in children.read_text().split()]
                except OSError:
                    pass  # that thread has just ended
        return found

    def cpu_seconds(self) -> tuple[float, float]:
        """So far, over all threads: time on a core, and time spent waiting for one."""
        ran = waited = 0
        for pid in self.family():
            for account in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                try:
                    words = account.read_text().split()
                except OSError:
                    continue
                ran += int(words[0])
                waited += int(words[1])
        return ran / 1e9, waited / 1e9

    def memory_bytes(self) -> int:
        """Resident memory; pages shared with other processes count in part (PSS)."""
        kibibytes = 0
        for pid in self.family():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kibibytes += int(line.split()[1])
        return kibibytes * 1024

    def complaint(self) -> str:
        """The end of what it wrote to standard error."""
        return self.errors.read_text(errors="replace")[-800:].strip()

    def await_answer(self, port: int, seconds: float) -> None:
        """Returns once the port answers a request with 200."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                raise Broken(f"it ended at once: {self.complaint()}")
            try:
                with socket.create_connection(("127.0.0.1", port), 1) as probe:
                    probe.settimeout(2)
                    probe.sendall(b"GET /json HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n")
                    if b" 200 " in probe.recv(4096):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise Broken(f"no answer on port {port} in {seconds:.0f} s: {self.complaint()}")

    def stop(self, seconds: float = 2.0) -> None:
        """Asks it to end, then ends what is left. Safe to call twice."""
        if self.child.poll() is not None:
            return
        family = {pid: started_at(pid) for pid in self.family()}
        self.child.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(seconds)
        for pid, birth in family.items():
            # An id may have been given to somebody else by now.
            if birth is not None and started_at(pid) == birth:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.child.wait()


def started_at(pid: int) -> str | None:
    """When the process was born, in the kernel's ticks; `None` if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None
