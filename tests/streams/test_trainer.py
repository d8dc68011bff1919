"""The live trainer on an embedded broker's logs, with no app around it."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import numpy as np
import pytest

from state.keys import PackedKeys
from streams.agents import trainer as live
from streams.agents.labels import Label, identities_of
from streams.agents.population import HOUR
from streams.decoding.fields import hashes
from streams.durable.references import Records
from streams.training import Rows, Trainer
from streams.transport.tail import MemoryLogs
from tests.streams.apps import embedded

NAMES = ("amount", "gap")
START, HOURS, DELAY = 420_000, 60, 24
SCORES, LABELS, MODELS = "scores.cards", "card.labels", "nilometer.models.cards"


def make():
    return Trainer(NAMES, delay_hours=DELAY, relabel_hours=50, days=(1, 2))


class Stream:
    """Scored transactions of a few cards, and their labels, some of them days later than the delay."""

    def __init__(self, n=500):
        rng = np.random.default_rng(6)
        self.n = n
        self.at = np.sort(rng.integers(START * HOUR, (START + HOURS) * HOUR, n))
        self.cards = [f"card-{number}" for number in rng.integers(0, 9, n)]
        self.ids = [f"t{number}" for number in range(n)]
        self.transaction = hashes(PackedKeys.pack([text.encode() for text in self.ids]))
        self.merchant = rng.integers(-1, 5, n)
        self.vectors = rng.normal(size=(n, 2)) * [50.0, 1.0]
        self.fraud = rng.random(n) < 1 / (1 + np.exp(-(2 * self.vectors[:, 1] - 2)))
        self.told = self.at + np.where(rng.random(n) < 0.3, DELAY + 10, 5) * HOUR
        self.number = identities_of(self.cards, self.ids)

    def partition(self, row, partitions):
        return int(self.cards[row][5:]) % partitions

    def record(self, rows):
        return msgspec.json.encode(
            {
                "key": [self.cards[row] for row in rows],
                "at": self.at[rows].tolist(),
                "transaction": self.transaction[rows].tolist(),
                "merchant": self.merchant[rows].tolist(),
                "reason": [0] * len(rows),
                **{name: self.vectors[rows, f].tolist() for f, name in enumerate(NAMES)},
            }
        )

    def events(self):
        """(hour, row or None, row labelled or None): scores and labels as they come in the world."""
        scored = [(int(at), 0, row) for row, at in enumerate(self.at.tolist())]
        told = [(int(self.told[row]), 1, row) for row in np.flatnonzero(self.fraud).tolist()]
        return sorted(scored + told)

    def label(self, row):
        return msgspec.json.encode(
            {"card_id": self.cards[row], "transaction_id": self.ids[row], "label": 1, "at": int(self.told[row]) / 1e6}
        )


def by_hand(stream, hours):
    """The trainer itself, fed in memory hour by hour."""
    trainer, told = make(), {}
    rows = Rows(stream.at, stream.number, stream.merchant, stream.vectors)
    for row in np.flatnonzero(stream.fraud).tolist():
        trainer.label(Label(int(stream.number[row]), True, round(int(stream.told[row]) / 1e6 * 1e6)))
    for hour in range(START, START + hours):
        again = rows.take(np.isin(rows.at // HOUR, sorted(trainer.wanted(hour))))
        ripe = rows.take(rows.at // HOUR == trainer.ripe_before(hour) - 1)
        told[hour] = trainer.advance(hour, ripe, again)
    return told


class World:
    """A broker; what a trainer would see of a stream whose event time goes on."""

    def __init__(self, broker, stream, partitions, batch=7):
        self.broker, self.stream, self.partitions, self.batch = broker, stream, partitions, batch
        self.logs, self.letters, self.shown = MemoryLogs(broker), [], []
        self.events = stream.events()
        self.waiting = {number: [] for number in range(partitions)}

    def go_on(self, hour):
        """Let everything happen that happens before the end of an hour."""
        while self.events and self.events[0][0] < (hour + 1) * HOUR:
            _, kind, row = self.events.pop(0)
            number = self.stream.partition(row, self.partitions)
            if kind == 1:
                self.broker.produce(LABELS, self.stream.cards[row].encode(), self.stream.label(row), partition=number)
                continue
            self.waiting[number].append(row)
            if len(self.waiting[number]) == self.batch:
                self.flush(number)
        for number in range(self.partitions):
            self.flush(number)

    def flush(self, number):
        if self.waiting[number]:
            self.broker.produce(SCORES, None, self.stream.record(self.waiting[number]), partition=number)
            self.waiting[number] = []

    def published(self):
        return [msgspec.json.decode(record.value) for record in self.broker.read(MODELS, 0, 0)]

    async def train(self, hour):
        """A worker trains until it has published the version of an hour, and is then gone."""

        async def publish(value):
            self.broker.produce(MODELS, None, value, partition=0)

        async def refuse(letter):
            self.letters.append(letter)

        task = asyncio.ensure_future(
            live.keep_training(
                make, self.logs, (SCORES, LABELS, MODELS), self.partitions, publish, refuse, lambda: True, show=self.shown.append
            )
        )
        for _ in range(2000):
            if task.done() or any(found["read"]["hour"] >= hour for found in self.published()[-1:]):
                break
            await asyncio.sleep(0.005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(live, "LOOK", 0.002)


@pytest.fixture(scope="module")
def stream():
    return Stream()


def newest_hour(stream, partitions, hour):
    """The stream's hour by what each partition has shown by the end of an hour."""
    seen = {}
    for row, at in enumerate(stream.at.tolist()):
        if at < (hour + 1) * HOUR:
            seen[stream.partition(row, partitions)] = at // HOUR
    return min(seen.values())


@pytest.mark.parametrize("partitions", [1, 4])
@pytest.mark.parametrize("lives", [[HOURS - 1], [30, 41, 42, HOURS - 1]])
def test_what_is_published_is_what_the_trainer_says_whoever_dies(stream, quick, partitions, lives):
    """A worker dies in each of these hours, another goes on: the same versions and shares, to the last bit, on any partitions."""
    reference = by_hand(stream, HOURS)
    with embedded(**{SCORES: partitions, LABELS: partitions, MODELS: 1}) as broker:
        world = World(broker, stream, partitions)

        async def live_and_die():
            for hour in lives:
                world.go_on(START + hour)
                await world.train(newest_hour(stream, partitions, START + hour))

        asyncio.run(live_and_die())
        published = world.published()
        assert not world.letters
        assert len(published) >= len(lives)
        for found in published:
            read = found.pop("read")
            assert msgspec.json.encode(found) == msgspec.json.encode(reference[read["hour"]])
        assert published[-1]["model"]["frauds"] > 20


def test_what_is_shown_of_a_trainer_is_what_it_has_learned_and_each_delay_once_whoever_dies(stream, quick, monkeypatch):
    monkeypatch.setattr(live, "LEAST_BETWEEN", 0.0)
    monkeypatch.setattr(live, "MEASURING_SHARE", 0)
    with embedded(**{SCORES: 1, LABELS: 1, MODELS: 1}) as broker:
        world = World(broker, stream, 1)
        delays, lasts = [], []

        async def live_and_die():
            for hour in (40, HOURS):
                world.go_on(START + hour)
                await world.train(newest_hour(stream, 1, START + hour))
                lasts.append((world.shown[-1], world.published()[-1]["model"]))
                delays.extend(delay for shown in world.shown for delay in shown.delays.tolist())
                world.shown.clear()

        asyncio.run(live_and_die())
        for last, published in lasts:
            assert (last.learned, last.frauds) == (published["learned"], published["frauds"])
            assert last.through * 1e6 == published["version"] * HOUR
            assert 0.0 <= last.models["champion"]["average_precision"] <= 1.0
        assert {round(delay * 1e6) for delay in delays} == {5 * HOUR, (DELAY + 10) * HOUR}
        assert len(delays) == lasts[-1][0].frauds > 20


def test_a_label_that_cannot_be_read_is_refused_and_the_others_are_learned(stream, quick):
    with embedded(**{SCORES: 1, LABELS: 1, MODELS: 1}) as broker:
        world = World(broker, stream, 1)
        broker.produce(LABELS, b"k", b"what?", partition=0)
        world.go_on(START + HOURS)
        asyncio.run(world.train(newest_hour(stream, 1, START + HOURS)))
        assert [letter.offset for letter in world.letters] == [0]
        assert world.published()[-1]["model"]["frauds"] > 20


def test_versions_are_offered_by_reference_and_found_again(stream, quick):
    with embedded(**{SCORES: 1, LABELS: 1, MODELS: 1}) as broker:
        world = World(broker, stream, 1)
        world.go_on(START + HOURS)
        asyncio.run(world.train(newest_hour(stream, 1, START + HOURS)))
        offered, records = [], Records(live.fetching(world.logs))

        async def follow():
            task = asyncio.ensure_future(live.keep_models(world.logs, MODELS, records, offered.append, NAMES))
            while not offered:
                await asyncio.sleep(0.002)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            other = Records(live.fetching(world.logs))
            await other.fetch(offered[0])
            return other

        other = asyncio.run(follow())
        newest = world.published()[-1]
        for each in (records, other):
            assert each.resolved(offered[0]) == {"model": newest["model"], "shares": newest["shares"]}


def test_one_that_does_not_own_the_first_partition_does_not_train(stream, quick):
    with embedded(**{SCORES: 1, LABELS: 1, MODELS: 1}) as broker:
        world = World(broker, stream, 1)
        world.go_on(START + HOURS)

        async def nothing(value):
            raise AssertionError(value)

        async def idle():
            topics = (SCORES, LABELS, MODELS)
            await asyncio.wait_for(live.keep_training(make, world.logs, topics, 1, nothing, nothing, lambda: False), 0.1)

        with pytest.raises(TimeoutError):
            asyncio.run(idle())


def test_a_silent_partition_does_not_hold_up_the_stream():
    index = live.HourIndex()
    assert index.stream_hour(24) is None
    index.note(0, 0, [START * HOUR])
    index.note(1, 0, [(START + 5) * HOUR])
    assert index.stream_hour(24) == START
    index.note(1, 1, [(START + 50) * HOUR])
    assert index.stream_hour(24) == START + 38


def test_the_index_knows_where_to_read_on():
    index = live.HourIndex()
    for offset, hours in enumerate([(1,), (1, 2), (2,), (4,)]):
        index.note(0, offset, [hour * HOUR for hour in hours])
    assert index.places[2] == {0: (1, 2)}
    assert index.begin(2) == {0: 1}
    assert index.begin(9) == {0: 4}
    index.forget(3)
    assert index.fresh == {4}
