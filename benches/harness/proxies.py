"""The proxies that are compared: which exist here, and how each is started.

Every one runs with a single worker thread, and from a template in `peers/` in which `@NAME@` stands
for a port or a directory of the run.
"""

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from .collectors import FAULTS, HEALTHY
from .machine import Process, find_program, free_port

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = ROOT / "benches" / "peers"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
if not TARGET.is_absolute():
    TARGET = ROOT / TARGET
RELEASE = TARGET / "release"
ENVOY_HOME = TARGET / "bench-peers" / "envoy"
INSTALL = "make bench-peers"
#: The directory of the caller, beside those of the proxies.
CALLER = "caller"


@dataclass(frozen=True)
class Proxy:
    """One way to stand between a client and the origin."""

    name: str
    #: The program, or `None` where it is not installed.
    program: str | None
    #: How it is made available.
    remedy: str
    #: Its arguments; `@CONFIG@` is the rendered template.
    arguments: tuple[str, ...]
    template: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    #: What is measured, beside CPU and throughput.
    aspects: frozenset[str] = frozenset({"latency", "bodies", "events", "delay", "memory"})
    #: A file of the run that is not empty afterwards, if the features are really on.
    evidence: str | None = None
    #: Whether it is driven with requests that say who calls (see `identity`), and judges them.
    is_gated: bool = False
    #: How its OTLP collector fails (see `collectors`). Where it does not, the origin takes spans.
    fault: str | None = None

    def start(
        self,
        cores: set[int],
        directory: Path,
        origin: int,
        log: int,
        wrap=(),
        sink: int | None = None,
    ):
        """Starts it on these cores; returns the process and its port.

        `wrap` goes before the program (a profiler, say); `sink` is the port of its OTLP collector.
        """
        directory.mkdir(parents=True)
        directory.chmod(0o755)  # the workers of a daemon may run as another user
        port = free_port()
        values = {
            "PORT": str(port),
            "ADMIN": str(free_port()),
            "ORIGIN": str(origin),
            "SINK": str(sink or origin),
            "LOG": str(log),
            "RUN": str(directory),
            "ROOT": str(ROOT),
            "CALLER": str(directory.parent / CALLER),
        }
        values |= {name: fill(value, values) for name, value in self.values.items()}
        if self.template:
            config = directory / self.template
            config.write_text(fill((TEMPLATES / self.template).read_text(), values))
            values["CONFIG"] = str(config)
        argv = [*wrap, self.program, *(fill(word, values) for word in self.arguments)]
        return Process(argv, cores, directory), port


def fill(text: str, values: dict[str, str]) -> str:
    """Puts values for `@NAME@`; a name without a value is an error."""
    return re.sub(r"@([A-Z]+)@", lambda found: values[found[1]], text)


def catalogue(sidecar: Path) -> list[Proxy]:
    """All proxies, in the order of the tables. `sidecar` is the binary under test."""
    return [
        ours(sidecar, "sidecar", "0.1"),
        ours(sidecar, "sidecar-100", "1.0", frozenset({"latency"})),
        silent(sidecar),
        bare(),
        nginx("nginx", "nginx.conf"),
        nginx("nginx-full", "nginx-full.conf", "access.log"),
        Proxy(
            "haproxy-full",
            find_program("haproxy"),
            INSTALL,
            ("-db", "-f", "@CONFIG@"),
            "haproxy-full.cfg",
        ),
        envoy("envoy-full", "10"),
        envoy("envoy-full-100", "100", frozenset()),
        replace(
            ours(sidecar, "sidecar-gates", "0.1", frozenset()),
            template="sidecar-gates.toml",
            is_gated=True,
        ),
        replace(
            envoy("envoy-gates", "10", frozenset()), template="envoy-gates.yaml", is_gated=True
        ),
        *(with_collector(sidecar, fault) for fault in (HEALTHY, *FAULTS)),
    ]


def ours(binary: Path, name: str, ratio: str, aspects=Proxy.aspects) -> Proxy:
    """The sidecar with everything on, tracing this share of the requests."""
    return Proxy(
        name,
        built(binary),
        "make bench-build",
        ("run", "--config", "@CONFIG@"),
        "sidecar.toml",
        {"RATIO": ratio, "LOGS": "@RUN@/logs"},
        aspects,
        "logs/combined.log",
    )


def silent(binary: Path) -> Proxy:
    """The sidecar with all but its log."""
    proxy = ours(binary, "sidecar-silent", "0.1", frozenset())
    return replace(proxy, values={"RATIO": "0.1", "LOGS": ""}, evidence=None)


def with_collector(binary: Path, fault: str) -> Proxy:
    """The sidecar that traces every request for a collector that fails in this way, or not at all."""
    proxy = ours(binary, f"sidecar-100-{fault}", "1.0", frozenset({"latency"}))
    return replace(proxy, fault=fault)


def bare() -> Proxy:
    """Bare hyper of the same shape."""
    program = built(RELEASE / "examples" / "bare_proxy")
    return Proxy(
        "bare-hyper",
        program,
        "make bench-build",
        ("127.0.0.1:@PORT@", "127.0.0.1:@ORIGIN@", "1"),
    )


def nginx(name: str, template: str, evidence: str | None = None) -> Proxy:
    """nginx with one of its configurations."""
    return Proxy(
        name,
        find_program("nginx"),
        INSTALL,
        ("-e", "@RUN@/error.log", "-c", "@CONFIG@"),
        template,
        evidence=evidence,
    )


def envoy(name: str, percent: str, aspects=Proxy.aspects) -> Proxy:
    """Envoy with everything on, tracing this share of the requests."""
    return Proxy(
        name,
        find_envoy(),
        INSTALL,
        ("-c", "@CONFIG@", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"),
        "envoy-full.yaml",
        {"PERCENT": percent},
        aspects,
        "access.log",
    )


def find_envoy() -> str | None:
    """`$ENVOY`, else the one `make bench-peers` installed, else one on the path."""
    if named := os.environ.get("ENVOY"):
        return named
    # The package's launcher replaces itself after a start of Python; take what it launches.
    installed = sorted(ENVOY_HOME.glob("lib/python*/site-packages/envoy/_bin/envoy"))
    return str(installed[0]) if installed else find_program("envoy")


def built(path: Path) -> str | None:
    """A binary of our own, if it was built."""
    return str(path) if path.exists() else None


def unbuilt_tools() -> list[str]:
    """What every run needs, and is not there."""
    return [tool for tool in ("origin", "load") if not built(RELEASE / "examples" / tool)]
