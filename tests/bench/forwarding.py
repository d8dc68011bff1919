"""What it costs cards to feed employees: the same transactions with `cards.postings` off, on, and with employees folded beside them.

    python -m tests.bench.forwarding --events 300000 --rounds 3

Every transaction names an employee, so each becomes a posting that must lie in its topic before the next chunk of its partition is
folded. The worker has one core, the broker the others; the turns are interleaved, and medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any

from streams.simulators.cards import simulate_cards
from tests.bench import events, fill
from tests.bench.machine import cores, pin
from tests.bench.report import middle
from tests.bench.run import answer, say
from tests.kafka.broker import Kafka

MAKING = "making postings"
MODES: dict[str, dict[str, Any]] = {
    "off": {"streams": ["cards"], "settings": {"NILOMETER_CARDS__POSTINGS": "false"}},
    "on": {"streams": ["cards"], "settings": {"NILOMETER_CARDS__POSTINGS": "true"}},
    "on, employees folded too": {"streams": ["cards", "employees"], "settings": {"NILOMETER_CARDS__POSTINGS": "true"}},
}


def transactions(many: int) -> Iterator[fill.Record]:
    """About so many, all of employees."""
    cards = many // 150
    return events.as_json("cards", simulate_cards(cards=cards, days=150, employees=cards))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    divided = cores()
    os.environ.setdefault("NILOMETER_TEST_KAFKA_JAVA", "-Xms1g -Xmx1g -XX:+UseG1GC")
    pin(divided.broker)
    records = list(transactions(given.events))
    found: dict[str, list[dict[str, Any]]] = {mode: [] for mode in MODES}
    print(f"{divided}; load {os.getloadavg()[0]:.1f}; {len(records):,} transactions, each a posting", flush=True)
    with Kafka() as kafka:
        for turn in range(given.rounds):
            for number, (mode, how) in enumerate(MODES.items()):
                prefix, topic = f"{turn}-{number}.", events.SOURCES["cards"]
                fill.make_topic(kafka.address, prefix + topic)
                fill.produce(kafka.address, prefix + topic, records)
                told = {"address": kafka.address, "prefix": prefix, "cores": divided.client, "messages": len(records), **how}
                found[mode].append(answer(["-m", "tests.bench.worker", "cards", json.dumps(told)]))
                say(f"round {turn + 1}: {mode} {found[mode][-1]['rate']:,.0f} transactions/s")
    whole = middle(found["off"], "rate")
    for mode, results in found.items():
        rate, used = middle(results, "rate"), middle(results, "per_cpu_second")
        making = max(each["profile"].get(MAKING, 0.0) for each in results)
        print(f"postings {mode}: {rate:,.0f} transactions/s, {rate / whole:.2f} of off; {used:,.0f} a CPU-second, {making:.0%} {MAKING}")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
