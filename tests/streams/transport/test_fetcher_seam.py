"""The seam in aiokafka's own fetcher, and the consumer's pitfalls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError, RecordTooLargeError
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from streams.transport import fetcher_seam
from streams.transport.chunk import Chunk
from streams.transport.cutting import from_position
from tests.streams.transport.batches import ABORT, COMMIT, TRANSACTIONAL, Record, batch, marker
from tests.streams.transport.fake_cluster import Broker, reading

OURS, OTHER = TopicPartition("ours", 0), TopicPartition("other", 0)


@pytest.fixture(autouse=True)
def seam() -> Iterator[None]:
    fetcher_seam.install({"ours"})
    yield
    fetcher_seam.uninstall()


def log_of(batches: int, size: int = 3, codec: int = 0) -> bytes:
    return b"".join(
        batch([Record(i, value=b"%d" % (base + i)) for i in range(size)], base, codec=codec) for base in range(0, batches * size, size)
    )


def offsets(chunks: list[Chunk]) -> list[int]:
    return [offset for chunk in chunks for offset in chunk.offsets.tolist()]


def test_aiokafka_is_what_the_seam_was_made_for() -> None:
    assert fetcher_seam.changes() == []


def test_another_aiokafka_is_refused_with_what_is_otherwise_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(fetcher_seam.PartitionRecords):  # type: ignore[misc]
        def __init__(self, tp: Any, records: Any, fetch_offset: int) -> None:
            self._tp = tp

    fetcher_seam.uninstall()
    monkeypatch.setattr(fetcher_seam, "PartitionRecords", Other)
    with pytest.raises(fetcher_seam.SeamChanged, match=r"PartitionRecords takes \(tp, records, fetch_offset\).*aiokafka's records"):
        fetcher_seam.install({"ours"})
    assert fetcher.MemoryRecords is MemoryRecords


def test_the_seam_can_be_installed_again_and_undone() -> None:
    fetcher_seam.install({"ours"})
    fetcher_seam.install({"more"})
    assert fetcher.MemoryRecords is fetcher_seam.KeptRecords
    fetcher_seam.uninstall()
    fetcher_seam.uninstall()
    assert (fetcher.MemoryRecords, fetcher.PartitionRecords) == (MemoryRecords, fetcher_seam.PartitionRecords)


async def _listed_and_unlisted() -> None:
    broker = Broker({OURS: log_of(50), OTHER: log_of(50)}, largest=700)
    async with reading(broker) as reader:
        chunks: list[Chunk] = []
        records: list[Any] = []
        while len(records) < 150 or not chunks or chunks[-1].next < 150:
            found = await reader.getmany()
            chunks += found.get(OURS, [])
            records += found.get(OTHER, [])
            if OURS in found:
                assert reader.position(OURS) == found[OURS][-1].next
        assert offsets(chunks) == [record.offset for record in records] == list(range(150))
        assert all(type(chunk) is Chunk for chunk in chunks)
        assert all(type(record) is ConsumerRecord for record in records)
        assert [chunk.first for chunk in chunks[1:]] == [chunk.next for chunk in chunks[:-1]]
        assert (chunks[0].topic, chunks[0].partition) == OURS
        assert broker.fetches > 5


def test_only_the_topics_that_were_named_come_as_chunks() -> None:
    asyncio.run(_listed_and_unlisted())


async def _seeks_and_pauses(seed: int) -> None:
    draw = random.Random(seed)
    tps = [TopicPartition("ours", 0), TopicPartition("ours", 1), OTHER]
    broker = Broker({tp: log_of(60, codec=draw.choice([0, 4])) for tp in tps}, largest=draw.choice([300, 900, 1 << 20]))
    async with reading(broker) as reader:
        wanted = dict.fromkeys(tps, 0)
        for _ in range(60):
            tp = draw.choice(tps)
            match draw.randrange(4):
                case 0:
                    wanted[tp] = draw.randrange(180)
                    reader.subscription.seek(tp, wanted[tp])
                case 1:
                    reader.subscription.pause(tp)
                case 2:
                    reader.subscription.resume(tp)
            for found_tp, found in (await reader.getmany(0.002)).items():
                got = offsets(found) if found_tp.topic == "ours" else [record.offset for record in found]
                assert got == list(range(wanted[found_tp], wanted[found_tp] + len(got)))
                wanted[found_tp] += len(got)
        assert not reader.deaf


@pytest.mark.parametrize("seed", range(3))
def test_pitfall_2_with_seeks_and_pauses_nothing_is_lost_doubled_or_reordered(seed: int) -> None:
    asyncio.run(_seeks_and_pauses(seed))


async def _corrupt() -> None:
    bad = bytearray(log_of(3))
    bad[-1] ^= 1
    broker = Broker({OURS: bytes(bad), OTHER: log_of(3)})
    async with reading(broker) as reader:
        chunks: list[Chunk] = []
        raised, others = [], 0
        while len(raised) < 3 or not others:
            try:
                found = await reader.getmany()
            except CorruptRecordException as problem:
                raised.append(str(problem))
            else:
                chunks += found.get(OURS, [])
                others += len(found.get(OTHER, []))
        assert offsets(chunks) == list(range(6))
        assert all("ours/0 at offset 6" in problem for problem in raised)
        assert reader.position(OURS) == 6
        assert not reader.deaf
        broker.logs[OURS] = log_of(3)
        while reader.position(OURS) < 9:
            try:
                chunks += (await reader.getmany()).get(OURS, [])
            except CorruptRecordException:
                continue
        assert offsets(chunks) == list(range(9))


def test_pitfalls_1_and_3_a_corrupt_batch_reaches_getmany_after_the_good_ones_and_nobody_goes_deaf() -> None:
    asyncio.run(_corrupt())


def test_pitfall_1_constructors_do_nothing_that_could_fail() -> None:
    for data in (b"", b"\xff" * 40, b"\0" * 100):
        records = fetcher.MemoryRecords(data)
        records.has_next()
        iterator = fetcher.PartitionRecords(OURS, records, [(1, 0)], 5, None, None, True, 0)
        assert iterator.next_fetch_offset == 5


async def _too_large() -> None:
    large = batch([Record(0, value=bytes(1000))], 0) + batch([Record(0)], 1)
    async with reading(Broker({OURS: large}, largest=500)) as reader:
        with pytest.raises(RecordTooLargeError):
            await reader.getmany()
        found: dict[TopicPartition, list[Chunk]] = {}
        while OURS not in found:
            found = await reader.getmany()
        assert offsets(found[OURS]) == [1]


def test_pitfall_2_a_batch_larger_than_a_fetch_is_told_as_aiokafka_tells_it() -> None:
    asyncio.run(_too_large())


def test_pitfall_4_the_position_stands_until_the_first_step_and_is_true_at_each() -> None:
    data = log_of(2, size=2) + batch([Record(0, value=b"x" * 99)], 4, codec=4) + marker(5, 1, COMMIT)
    iterator = fetcher.PartitionRecords(OURS, fetcher.MemoryRecords(data), None, 1, None, None, True, 0)
    seen = [iterator.next_fetch_offset]
    for chunk in iterator:
        seen.append(iterator.next_fetch_offset)
        assert chunk.next == iterator.next_fetch_offset
    assert seen == [1, 4, 6]
    assert iterator.next_fetch_offset == 6


async def _passed_over() -> None:
    """Transactions, aborted and not, and nothing behind them."""
    data = b"".join(
        batch([Record(0, value=b"%d" % base)], base, attributes=TRANSACTIONAL, producer=1)
        + marker(base + 1, 1, ABORT if base % 4 else COMMIT)
        for base in range(0, 40, 2)
    )
    for largest in (1 << 20, 300, 150):
        broker = Broker({OURS: data}, largest=largest)
        broker.aborted[OURS] = [(1, base, base + 1) for base in range(0, 40, 2) if base % 4]
        async with reading(broker, isolation_level="read_committed") as reader:
            position, seen = 0, []
            while position < 40:
                for chunk in (await reader.getmany()).get(OURS, []):
                    rest = from_position(chunk, position)
                    assert rest is not None
                    position = rest.next
                    seen += rest.offsets.tolist()
            assert seen == list(range(0, 40, 4))
            assert reader.position(OURS) == 40


def test_what_is_passed_over_at_a_fetch_s_end_is_told_so_that_no_position_is_lost() -> None:
    asyncio.run(_passed_over())


async def _out_of_range() -> None:
    broker = Broker({OURS: log_of(3)})
    broker.begins[OURS] = 3
    async with reading(broker) as reader:
        for _ in range(2):
            with pytest.raises(OffsetOutOfRangeError):
                await reader.getmany()
        reader.subscription.seek(OURS, 3)
        found: dict[TopicPartition, list[Chunk]] = {}
        while OURS not in found:
            found = await reader.getmany()
        assert offsets(found[OURS]) == list(range(3, 9))


def test_pitfall_11_without_an_offset_reset_a_position_below_the_log_is_an_error_at_every_getmany() -> None:
    asyncio.run(_out_of_range())


async def _paused() -> None:
    broker = Broker({OURS: log_of(3)})
    async with reading(broker) as reader:
        while not reader.fetcher._records:
            await asyncio.sleep(0.001)
        reader.subscription.pause(OURS)
        assert await reader.getmany(0.01) == {}
        assert not reader.fetcher._records
        assert reader.position(OURS) == 0
        reader.subscription.resume(OURS)
        found: dict[TopicPartition, list[Chunk]] = {}
        while OURS not in found:
            found = await reader.getmany()
        assert offsets(found[OURS]) == list(range(9))


def test_pitfall_12_a_paused_partition_s_buffer_is_dropped_and_fetched_again() -> None:
    asyncio.run(_paused())
