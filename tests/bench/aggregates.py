"""What the cards' aggregates cost: time an event, bytes a card, and how far tiles are from exact sums.

    python -m tests.bench.aggregates [--cards 100000] [--events 2000000] [--kernel-only] [--data FOLDER]
    python -m tests.bench.aggregates --resident exact --cards 1000000 [--partitions 4]

Times are of the process (CPU), in rounds that take turns with river's, so that they compare on a busy machine too. The stream: `--events`
payments, two a day and card, evenly spread over the cards. The kernel reads and updates what the paper needs: two attribute values,
windows of 1, 3 and 5 days; n, Σ w, Eqs. (1), (3) and (4) of the totals and of the current value, 30 numbers an event.
"""

from __future__ import annotations

import argparse
import datetime
import os
import time
from pathlib import Path

import numpy as np
from numba import njit

from detectors.aggregation.detector import AggregationDetector
from detectors.aggregation.equations import PAPER, read
from detectors.protocol import MICROSECONDS, Columns, admit
from state.keys import PackedKeys
from state.rings import card_of, has_room, look_ahead
from state.tiles import CELL, TILE, TiledWindows, add_to_tile, advance_tiles, known, make_tile_room, read_tiles, remember
from state.window import ENTRY, SlidingWindows, advance, holds, insert, make_room
from state.words import address_of
from streams.durable.manifest import MANIFEST, CutPosition, Manifest, Packing, Shelf, chunk_key, encode
from streams.durable.store import Stored
from streams.heap import give_back, keep_small
from streams.partition import Origins, Partition

DAY, BATCH, GROUPS = 86_400, 10_000, 3
SPANS = (1 * DAY, 3 * DAY, 5 * DAY)


@njit(cache=True)
def exact_batch(first, at, slot, amount, mode, number, rows, plan_array, data, header, gates, out):
    arena, plan = address_of(data), address_of(plan_array)
    for row in range(first, len(at)):
        look_ahead(rows, arena, slot, row, ENTRY)
        card, now = card_of(rows, slot[row]), at[row]
        if holds(card, arena, plan, number[row]):
            continue
        advance(card, arena, plan, now)
        if not has_room(card, plan, ENTRY) and not make_room(card, data, header, plan):
            return row
        gates[0], gates[1] = 0, 1 + mode[row]
        read(card, arena, plan, now, PAPER, gates, out)
        insert(card, arena, plan, now, amount[row], 1 | 2 << mode[row], number[row])
    return len(at)


@njit(cache=True)
def tiled_batch(first, at, slot, amount, mode, number, rows, plan_array, data, header, gates, out):
    arena, plan = address_of(data), address_of(plan_array)
    for row in range(first, len(at)):
        look_ahead(rows, arena, slot, row, CELL)
        card, now = card_of(rows, slot[row]), at[row]
        if known(card, plan, number[row]):
            continue
        advance_tiles(card, arena, plan, now)
        if not has_room(card, plan, CELL) and not make_tile_room(card, data, header, plan):
            return row
        gates[0], gates[1] = 0, 1 + mode[row]
        read_tiles(card, arena, plan, now, False, gates, out)
        add_to_tile(card, arena, plan, now, amount[row], 1 | 2 << mode[row])
        remember(card, plan, number[row])
    return len(at)


def stream(events: int, cards: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Payments in order of time, two a day and card."""
    rng = np.random.default_rng(seed)
    days = max(10, events // (2 * cards))
    return {
        "at": 1_700_000_000 + np.sort(rng.integers(0, days * DAY, events)),
        "slot": rng.integers(0, cards, events),
        "amount": np.exp(rng.normal(8, 1, events)).astype(np.int64),
        "mode": (rng.random(events) < 0.3).astype(np.int64),
        "number": rng.integers(0, 2**62, events),
    }


class Kernel:
    """Our aggregates, driven as the fold drives them, in batches."""

    def __init__(self, columns: dict[str, np.ndarray], cards: int, kind: str) -> None:
        self.columns, self.cards = list(columns.values()), cards
        self.windows = SlidingWindows(SPANS, GROUPS) if kind == "exact" else TiledWindows(SPANS, GROUPS)
        self.windows.rows.fit(cards)
        self.batch = exact_batch if kind == "exact" else tiled_batch
        self.gates, self.out = np.zeros(2, np.int64), np.zeros((2, len(SPANS), 5))

    def micros(self, first: int, last: int) -> float:
        """Fold these events; microseconds of each."""
        started = time.process_time()
        for begin in range(first, last, BATCH):
            self._fold(begin, min(last, begin + BATCH))
        return 1e6 * (time.process_time() - started) / (last - first)

    def _fold(self, first: int, last: int) -> None:
        part, row, windows = [column[first:last] for column in self.columns], 0, self.windows
        while row < last - first:
            if row > 0:
                windows.grow_arena()
            arena = windows.arena
            row = self.batch(row, *part, windows.rows["rings"], windows.plan, arena.data, arena.header, self.gates, self.out)

    def size(self) -> dict[str, float]:
        """Bytes a card, by array."""
        return {"rows": self.windows.rows["rings"].nbytes / self.cards, "arena": 8 * float(self.windows.arena.header[0]) / self.cards}


class River:
    """One aggregate of river's: the sum of a card's amounts over a rolling window of five days, learned and then read at each event.

    As its documentation has it, the interpreter's collection of garbage as it comes. What the events are made of is not timed.
    """

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        from river import feature_extraction, stats, utils

        self.columns = columns
        self.sums = feature_extraction.Agg(on="amount", by="card", how=utils.TimeRolling(stats.Sum, period=datetime.timedelta(days=5)))
        self.start = datetime.datetime.fromtimestamp(0, datetime.UTC).replace(tzinfo=None)  # river compares naive times

    def micros(self, first: int, last: int) -> float:
        """Feed it these events; microseconds of each."""
        rows = [
            ({"card": slot, "amount": amount}, self.start + datetime.timedelta(seconds=at))
            for at, slot, amount in zip(*(self.columns[name][first:last].tolist() for name in ("at", "slot", "amount")), strict=True)
        ]
        started = time.process_time()
        for x, t in rows:
            self.sums.learn_one(x, t=t)
            self.sums.transform_one(x)
        return 1e6 * (time.process_time() - started) / len(rows)


def side_by_side(columns: dict[str, np.ndarray], cards: int, rounds: int, timed: int) -> None:
    """Exact sums, tiles and river take turns with the events that come next; print medians, and ratios within a round."""
    n = len(columns["at"])
    filled, each = n // 2, n // 2 // rounds  # the first half fills the windows
    ours = {kind: Kernel(columns, cards, kind) for kind in ("exact", "tiles")}
    for one in ours.values():
        one.micros(0, filled)
    try:
        river, fed = River(columns), min(filled, 10 * cards)
        river.micros(0, fed)
    except ImportError:
        river, fed = None, 0
    found: dict[str, list[float]] = {name: [] for name in (*ours, "river")}
    for turn in range(rounds):
        for kind, one in ours.items():
            found[kind].append(one.micros(filled + turn * each, filled + (turn + 1) * each))
        begin = fed + turn * timed
        found["river"].append(river.micros(begin, begin + timed) if river else float("nan"))
    print(f"{n:,} events, {cards:,} cards: update and read, two attribute values, windows of 1, 3, 5 days; load {os.getloadavg()[0]:.1f}")
    print(f"  µs an event, median (smallest – largest) of {rounds} interleaved rounds")
    for kind, one in ours.items():
        size = one.size()
        parts = ", ".join(f"{name} {number:.0f}" for name, number in size.items())
        times = _spread([its / mine for its, mine in zip(found["river"], found[kind], strict=True)], "5.0f")
        print(f"  {kind:6s} {_spread(found[kind], '6.3f')}  {times} × river   {sum(size.values()):6.0f} bytes a card ({parts})")
    print(f"  river  {_spread(found['river'], '6.2f')}  for one aggregate of one window, Agg(TimeRolling(Sum))")


def _spread(values: list[float], form: str) -> str:
    return f"{np.median(values):{form}} ({min(values):{form}} –{max(values):{form}})"


def whole(columns: dict[str, np.ndarray], kind: str) -> tuple[float, float]:
    """The detector with its default features, and a fill of the key index: microseconds an event, bytes a card."""
    n, detector = len(columns["at"]), AggregationDetector(aggregates=kind)
    not_given = np.full(n, -1, np.int64)
    fields = {
        "amount": columns["amount"], "mode": columns["mode"], "transaction": columns["number"],
        "address_match": not_given, "credit_limit": not_given, "merchant": not_given,
    }  # fmt: skip
    keys = PackedKeys.pack([b"%d" % slot for slot in columns["slot"].tolist()])
    events, state, started = Columns(keys, columns["at"] * MICROSECONDS, fields), detector.new_state(), 0.0
    for first in range(0, n, BATCH):
        if first == n // 2 // BATCH * BATCH:
            started = time.process_time()
            begun = first
        part = events.span(first, min(n, first + BATCH))
        admit(detector, state, part)
        detector.process(state, part)
    micros = 1e6 * (time.process_time() - started) / (n - begun)
    arrays = [state.windows.rows["rings"], *(state.cards[name] for name in ("own", "paid", "judged"))]
    size = sum(array.nbytes / len(array) for array in arrays) + 8 * float(state.windows.arena.header[0]) / len(state.keys)
    return micros, size


def resident(cards: int, kind: str, partitions: int) -> None:
    """Print what this process holds with so many cards of a week's payments, two a day; with a checkpoint under way; and restored from one.

    Partitions make their checkpoints one after another, and are restored one after another, too.
    """
    rng, own = np.random.default_rng(0), cards // partitions
    parts = [Partition("cards", "t", n, AggregationDetector(aggregates=kind, key_limit=own), DAY) for n in range(partitions)]
    for part in parts:
        for first in range(0, 14 * own, BATCH):
            rows = np.arange(first, first + BATCH)
            slots = rng.integers(0, own, BATCH) if first >= own else rows % own
            not_given = np.full(BATCH, -1, np.int64)
            fields = {"amount": rng.integers(100, 100_000, BATCH), "mode": rng.integers(0, 2, BATCH),
                      "address_match": rng.integers(-1, 2, BATCH),
                      "credit_limit": not_given, "merchant": not_given, "transaction": rng.integers(0, 2**62, BATCH)}  # fmt: skip
            at = (1_700_000_000 + 7 * DAY * rows // (14 * own)) * MICROSECONDS
            columns = Columns(PackedKeys.pack([b"card %09d" % slot for slot in slots.tolist()]), at, fields)
            for _ in part.fold(columns, Origins.of_record("t", part.number, rows, np.zeros_like(rows)), first + BATCH):
                raise AssertionError("nothing is built aside")
    print(f"{cards:,} cards in {partitions} partitions, {kind}: {_gigabytes('VmRSS')}, {_gigabytes('VmHWM')} at its highest", flush=True)
    _begin_anew()
    stood = worked = took = 0.0
    records: list[list[Stored]] = []
    for part in parts:
        started, busy = time.perf_counter(), time.process_time()
        packing = Packing().take(part.pieces())
        stood, worked = max(stood, time.perf_counter() - started), max(worked, time.process_time() - busy)
        started = time.perf_counter()
        chunks, size, digest = packing.finish()
        took = max(took, time.perf_counter() - started)
        manifest = Manifest(
            offset=part.next, chunks=len(chunks), bytes=size, digest=digest, partitions=partitions, cuts=CutPosition(), before=None,
            signatures={},
        )  # fmt: skip
        if not records:
            print(f"a checkpoint under way: {_gigabytes('VmHWM')}; {size / 1e9:.2f} GB, compressed {sum(map(len, chunks)) / 1e9:.2f}")
        records.append([Stored(i, chunk_key("a", i), chunk) for i, chunk in enumerate(chunks)])
        records[-1].append(Stored(0, chunk_key("a", MANIFEST), encode(manifest)))
        del chunks, packing
    print(f"a fold stood still for {stood:.1f} s at most, {worked:.1f} s of CPU; the rest of its checkpoint took {took:.1f} s")
    signature, folded = [part.detector for part in parts], [part.next for part in parts]
    parts.clear()
    del part
    give_back()
    before = _gigabytes("VmRSS")
    _begin_anew()
    for number, detector in enumerate(signature):
        shelf = Shelf(records.pop(0))
        manifest = shelf.manifest("a") or manifest
        data = shelf.data("a", manifest, spend=True)
        del shelf
        assert data is not None
        parts.append(Partition("cards", "t", number, detector, DAY))
        parts[-1].thaw(data, spend=True)
        del data
    assert [part.next for part in parts] == folded
    print(f"restored from checkpoints that took {before} with all that they need: {_gigabytes('VmHWM')} at its highest")


def _gigabytes(name: str) -> str:
    """A line of the kernel's about this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return f"{int(lines[name].split()[0]) * 1024 / 1e9:.2f} GB"


def _begin_anew() -> None:
    """From here on, the highest is that of what follows."""
    Path("/proc/self/clear_refs").write_text("5")


def errors(folder: Path) -> None:
    """How far tiles are from exact sums on the handbook's first two months: relative errors of windows of 1, 3 and 5 days."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "cards" / "handbook_2018-04_08.parquet", filters=[("t", "<", 61 * DAY)])
    at, card, amount = (table[name].to_numpy().astype(np.int64) for name in ("t", "card", "amount_cents"))
    exact, tiled = SlidingWindows(SPANS, 1), TiledWindows(SPANS, 1)
    found = np.zeros((2, len(at), len(SPANS), 5))
    for windows in (exact, tiled):
        windows.rows.fit(int(card.max()) + 1)
    _compare(exact, tiled, at, card, amount, found)
    print(f"\ntiles of {TILE // 3600} h against exact sums, {len(at):,} payments: relative error, mean / 99 % / largest, in %")
    for name, place in (("simple aggregation", 2), ("time gap", 4)):
        for window, span in enumerate(SPANS):
            one, other = found[0, :, window, place], found[1, :, window, place]
            there = one > 0
            off = 100.0 * np.abs(other[there] / one[there] - 1.0)
            print(f"  {name:20s} {span // DAY} d  {off.mean():8.3f} {np.quantile(off, 0.99):8.2f} {off.max():8.1f}")


def _compare(exact: SlidingWindows, tiled: TiledWindows, at, card, amount, found) -> None:  # type: ignore[no-untyped-def]
    gates, row = np.zeros(1, np.int64), 0
    while True:
        row = _both(
            row, at, card, amount, gates, exact.rows["rings"], exact.plan, exact.arena.data, exact.arena.header,
            tiled.rows["rings"], tiled.plan, tiled.arena.data, tiled.arena.header, found,
        )  # fmt: skip
        if row == len(at):
            return
        exact.grow_arena()
        tiled.grow_arena()


@njit(cache=True)
def _both(first, at, slot, amount, gates, rows, plans, data, header, rings, plan, words, heads, found):
    out = np.empty((1, found.shape[2], 5))
    arena, plans, cells, plan = address_of(data), address_of(plans), address_of(words), address_of(plan)
    for row in range(first, len(at)):
        one, other, now = card_of(rows, slot[row]), card_of(rings, slot[row]), at[row]
        advance(one, arena, plans, now)
        advance_tiles(other, cells, plan, now)
        if not has_room(one, plans, ENTRY) and not make_room(one, data, header, plans):
            return row
        if not has_room(other, plan, CELL) and not make_tile_room(other, words, heads, plan):
            return row
        read(one, arena, plans, now, PAPER, gates, out)
        found[0, row] = out[0]
        read_tiles(other, cells, plan, now, False, gates, out)
        found[1, row] = out[0]
        insert(one, arena, plans, now, amount[row], 1, row)
        add_to_tile(other, cells, plan, now, amount[row], 1)
    return len(at)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cards", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=9, help="in which exact sums, tiles and river take turns")
    parser.add_argument("--river", type=int, default=50_000, help="events of river's that are timed in a round, after its windows are full")
    parser.add_argument("--kernel-only", action="store_true", help="not the whole detector")
    parser.add_argument("--data", type=Path, default=None, help="the folder of real data: measures the tiles' error, too")
    parser.add_argument("--resident", choices=("exact", "tiles"), help="only the memory of a process with so many cards of a week")
    parser.add_argument("--partitions", type=int, default=4, help="among which these cards are spread")
    asked = parser.parse_args()
    if asked.resident:
        keep_small()  # as a worker does
        resident(asked.cards, asked.resident, asked.partitions)
        return
    columns = stream(asked.events, asked.cards)
    for kind in ("exact", "tiles"):
        Kernel(columns, asked.cards, kind).micros(0, 1_000)  # compiles
    side_by_side(columns, asked.cards, asked.rounds, asked.river)
    if asked.kernel_only:
        return
    print("the whole detector, default features, keys admitted")
    for kind in ("exact", "tiles"):
        whole({name: column[:2_000] for name, column in columns.items()}, kind)
        micros, bytes_ = whole(columns, kind)
        print(f"  {kind:6s} {micros:6.2f} µs an event ({1e3 / micros:.0f},000/s)   {bytes_:6.0f} bytes a card")
    if asked.data is not None:
        errors(asked.data)


if __name__ == "__main__":
    main()
