"""The results as tables in Markdown: ratios first, since machines differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import fill
from tests.bench import latency as steady
from tests.bench.machine import Cores

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- measured: written by make bench -->", "<!-- end of what was measured -->"

BARS = {"stock Faust": 150.0, "Quix Streams": 14.0, "aiokafka getmany": 3.0, "floor": 0.6}
NAMES = {
    "ours": "**ours: a Faust agent, record batches as columns**",
    "floor": "the floor: the same reader in aiokafka's consumer, no Faust",
    "aiokafka getmany": "aiokafka `getmany`, msgspec",
    "confluent-kafka": "confluent-kafka `consume(5000)`, msgspec",
    "ours, records mode": 'ours with `kafka.fetch = "records"`',
    "Quix Streams": "Quix Streams, JSON passed through",
    "stock Faust": "stock Faust agent, JSON",
}
SMALL = 0.01  # shares below are summed up

Results = Mapping[str, Sequence[Mapping[str, Any]]]


def heading(lines: Sequence[str], cores: Cores, messages: int, rounds: int, load: float) -> str:
    return "\n".join(
        [
            "## Measured",
            "",
            *(f"- {line}" for line in lines),
            f"- {cores}; load when it ended {load:.1f}: a shared machine, not a quiet one",
            f"- {messages:,} messages counted (Quix Streams a fifth of them, stock Faust a twenty-fifth) of 60 bytes of JSON in "
            f"{fill.PARTITIONS} partitions; medians of {rounds} interleaved rounds",
        ]
    )


def reading(results: Results) -> str:
    ours, cpu = middle(results["ours"], "rate"), middle(results["ours"], "per_cpu_second")
    lines = [
        "### Reading, every value decoded",
        "",
        "| | ours is faster by | wanted | by CPU time | messages/s | from – to | per CPU-second |",
        "|---|---|---|---|---|---|---|",
    ]
    for contender in sorted(results, key=lambda name: -middle(results[name], "rate")):
        found = results[contender]
        rate, used = middle(found, "rate"), middle(found, "per_cpu_second")
        bar = f"≥ {BARS[contender]:g}" if contender in BARS else ""
        rates = sorted(each["rate"] for each in found)
        lines.append(
            f"| {NAMES[contender]} | {ratio(ours / rate)} | {bar} | {ratio(cpu / used)} | {rounded(rate)} "
            f"| {rounded(rates[0])} – {rounded(rates[-1])} | {rounded(used)} |"
        )
    return "\n".join(lines)


def codecs(results: Mapping[str, Results]) -> str:
    lines = [
        "### Other batches",
        "",
        "| batches | ours : getmany | ours : floor | ours, messages/s | getmany | floor |",
        "|---|---|---|---|---|---|",
    ]
    for kind, found in results.items():
        ours, getmany, floor = (middle(found[name], "rate") for name in ("ours", "aiokafka getmany", "floor"))
        lines.append(
            f"| {kind} | {ratio(ours / getmany)} | {ratio(ours / floor)} | {rounded(ours)} | {rounded(getmany)} | {rounded(floor)} |"
        )
    return "\n".join(lines)


def detectors(results: Mapping[str, Mapping[str, Any]]) -> str:
    lines = [
        "### The worker, a detector switched on",
        "",
        "`nilometer worker` as it is, with checkpoints, alerts and (cards) scores written, from the first record on: models are built",
        "meanwhile, on the same core.",
        "",
        "| stream | records/s | per CPU-second | alerts sent |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{stream}` | {rounded(found['rate'])} | {rounded(found['per_cpu_second'])} | {found['alerts']:,} |"
        for stream, found in results.items()
    ]
    return "\n".join(lines)


def profile(name: str, shares: Mapping[str, float]) -> str:
    large = [(work, share) for work, share in sorted(shares.items(), key=lambda item: -item[1]) if share >= SMALL]
    rest = 1.0 - sum(share for _, share in large)
    lines = [f"{name}: where the CPU time goes", "", "| share | |", "|---|---|"]
    lines += [f"| {share:.0%} | {work} |" for work, share in large]
    if rest > 0.005:
        lines.append(f"| {rest:.0%} | the rest |")
    return "\n".join(lines)


def latency(found: Mapping[str, float]) -> str:
    return "\n".join(
        [
            "### From append to alert",
            "",
            f"{steady.RATE:,} sensor readings/s for {steady.SECONDS} s, checkpoints running: from a reading's append to its alert's,",
            f"by the broker's clock (ms), over {found['alerts']:,} alerts.",
            "",
            "| p50 | p99 | max |",
            "|---|---|---|",
            f"| {found['p50']:.0f} ms | {found['p99']:.0f} ms | {found['max']:.0f} ms |",
        ]
    )


def write(text: str) -> None:
    """Put the measured part in the place of the one before."""
    whole = README.read_text(encoding="utf-8")
    before, _, rest = whole.partition(BEGIN)
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def middle(found: Sequence[Mapping[str, Any]], what: str) -> float:
    return float(median(each[what] for each in found))


def ratio(number: float) -> str:
    """Two digits that count.

    >>> ratio(163.2), ratio(3.14), ratio(0.876)
    ('163', '3.1', '0.88')
    """
    return f"{number:.0f}" if number >= 20 else f"{number:.1f}" if number >= 2 else f"{number:.2f}"


def rounded(number: float) -> str:
    """Three digits that count.

    >>> rounded(1_234_567.0), rounded(4_321.0)
    ('1,230,000', '4,320')
    """
    size = 10 ** max(0, len(f"{number:.0f}") - 3)
    return f"{round(number / size) * size:,}"
