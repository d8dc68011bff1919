"""The machine as the benchmark divides it: one core for the client under test, the others for the broker and whoever feeds it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "quixstreams", "msgspec", "numba", "numpy")


@dataclass(frozen=True, slots=True)
class Cores:
    """Who runs where; empty tuples: nobody is pinned."""

    client: tuple[int, ...]
    broker: tuple[int, ...]

    def __str__(self) -> str:
        if not self.client:
            return "one core: nobody is pinned, client and broker share it"
        note = "" if len(self.broker) >= 3 else " (fewer than four cores: the broker has less than it wants)"
        return f"client pinned to one core, broker and producers to the other {len(self.broker)}{note}"


def cores() -> Cores:
    """The last core for the client, all others for the broker."""
    mine = sorted(os.sched_getaffinity(0))
    return Cores((), ()) if len(mine) < 2 else Cores((mine[-1],), tuple(mine[:-1]))


def pin(to: tuple[int, ...]) -> None:
    """This process and whatever it starts run on these cores only."""
    if to:
        os.sched_setaffinity(0, to)


def described(kafka: str) -> list[str]:
    """Lines for the report: when, on what kind of machine, with which versions. No name and no path of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return [
        f"{datetime.now(UTC):%Y-%m-%d}; {len(os.sched_getaffinity(0))} cores of {processor()}, {memory:.0f} GiB, {platform.system()}; "
        f"load when it began {load:.1f}",
        f"Python {platform.python_version()}, {', '.join(f'{name} {_version(name)}' for name in PACKAGES)}; {kafka}",
    ]


def processor() -> str:
    """The processor's name as the kernel tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
