"""A member of a consumer group on Apache Kafka: positions, commits, rebalances, leaving, a broker that goes away."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.errors import ConsumerStoppedError, OffsetOutOfRangeError
from faust.types import TP
from kafka import KafkaAdminClient

from streams.engine import run, running
from streams.transport.chunked import StaleCommit, UnansweredCommit
from streams.transport.cutting import ChunkLimits, LostPosition
from streams.transport.groups import Committed
from streams.transport.kafka import ConsumerThread, url
from tests.kafka.conftest import make_topic
from tests.kafka.test_chunks import FETCH, produced
from tests.streams.apps import Reader, until

pytestmark = pytest.mark.parametrize("fetch", FETCH[-1:])


def numbered(first, last):
    return [(b"k", b"%d" % n, []) for n in range(first, last)]


def reader_of(kafka, topic, fetch, name="", **settings):
    reader = Reader(url(kafka), topic, name or topic, **settings)
    reader.app.chunks.record_batches = fetch == "record_batches"
    return reader


def test_reading_begins_where_the_fold_stands(kafka, topic, fetch):
    async def go():
        await produced(kafka, topic, numbered(0, 2_000))
        reader = reader_of(kafka, topic, fetch)
        reader.next = {TP(topic, 0): 137, TP(topic, 1): 999}
        await run(reader.app, until(lambda: len(reader.values()) >= 1_000 - 137 + 1))
        assert reader.values(0) == [b"%d" % (2 * n) for n in range(137, 1_000)]
        assert reader.values(1) == [b"1999"]

    asyncio.run(go())


def test_a_commit_names_its_metadata_and_is_refused_under_another_generation(kafka, topic, fetch):
    async def go():
        await produced(kafka, topic, numbered(0, 10))
        reader = reader_of(kafka, topic, fetch)
        async with running(reader.app) as app:
            await until(lambda: len(reader.values()) == 10)
            members, tp, generation = app.members, TP(topic, 0), app.consumer_generation_id
            assert await members.committed_position(tp) is None
            await members.commit_position(tp, 3, "tenure/7", generation=generation)
            assert await members.committed_position(tp) == Committed(3, "tenure/7")
            for other in (generation - 1, generation + 1):
                with pytest.raises(StaleCommit, match=f"generation {generation}"):
                    await members.commit_position(tp, 5, "another", generation=other)
            assert await members.committed_position(tp) == Committed(3, "tenure/7")
            assert time.monotonic() - members.last_heartbeat_answered() < 5.0
        # Without a fold that knows better, the group's position counts.
        again = reader_of(kafka, topic, fetch)
        await run(again.app, until(lambda: len(again.values()) == 2 + 5))
        assert again.values(0) == [b"6", b"8"]

    asyncio.run(go())


def test_two_members_share_the_partitions_and_nothing_is_lost_or_told_twice_to_the_group(kafka, topic, fetch):
    async def go():
        await produced(kafka, topic, numbered(0, 1_000))
        one = reader_of(kafka, topic, fetch, keep=True)
        two = reader_of(kafka, topic, fetch, keep=True)
        async with running(one.app):
            await until(lambda: len(one.values()) == 1_000)
            async with running(two.app):
                await until(lambda: len(one.app.consumer.assignment()) == len(two.app.consumer.assignment()) == 1)
                await until(lambda: two.app.consumer.flow_active and two.next)
                assert two.values() == []  # the first had committed what it had read
                await produced(kafka, topic, numbered(1_000, 2_000))
                await until(lambda: len(one.values()) + len(two.values()) == 2_000)
                assert len(two.values()) == 500
            # The second has committed on leaving, and the first takes over where it stood.
            await until(lambda: len(one.app.consumer.assignment()) == 2)
            await produced(kafka, topic, numbered(2_000, 2_100))
            await until(lambda: len(one.values()) + len(two.values()) == 2_100)
        assert sorted(map(int, one.values() + two.values())) == list(range(2_100))

    asyncio.run(go())


def test_a_partition_whose_agent_is_at_work_stops_no_other(kafka, topic, fetch):
    async def go():
        await produced(kafka, topic, numbered(0, 400))
        reader = reader_of(kafka, topic, fetch, limits=ChunkLimits(records=50))
        held = asyncio.Event()
        agent = next(iter(reader.app.agents.values()))

        async def slow(stream):
            async for chunk in stream:
                reader.chunks.append(chunk)
                if chunk.partition == 0:
                    await held.wait()

        agent.fun = slow
        async with running(reader.app):
            await until(lambda: len(reader.values(1)) == 200)
            assert len(reader.values(0)) == 50
            await produced(kafka, topic, numbered(400, 600))
            await until(lambda: len(reader.values(1)) == 300)
            held.set()
            await until(lambda: len(reader.values(0)) == 300)

    asyncio.run(go())


def test_a_position_that_the_log_no_longer_holds_is_an_error_or_parks_the_partition(kafka, topic, admin, fetch):
    async def go():
        await produced(kafka, topic, numbered(0, 100))
        await asyncio.to_thread(delete_before, admin, topic, 0, 30)
        reader = reader_of(kafka, topic, fetch)
        reader.next = {TP(topic, 0): 10, TP(topic, 1): 10}
        with pytest.raises(LostPosition, match=f"{topic}/0: cannot read on at offset 10: the log no longer holds it"):
            await run(reader.app, asyncio.sleep(120))

        parked = {}
        other = reader_of(kafka, topic, fetch)
        other.next = {TP(topic, 0): 10, TP(topic, 1): 10}
        other.app.chunks.unreadable = parked.__setitem__
        await run(other.app, until(lambda: parked and len(other.values(1)) == 40))
        assert list(parked) == [TP(topic, 0)]
        assert isinstance(parked[TP(topic, 0)].__cause__, OffsetOutOfRangeError)
        assert other.values(0) == []

        # A fold that has folded nothing begins with what is left.
        fresh = reader_of(kafka, topic, fetch)
        await run(fresh.app, until(lambda: len(fresh.values()) == 70))

    asyncio.run(go())


def delete_before(admin, topic, partition, offset):
    from kafka import TopicPartition

    admin.delete_records({TopicPartition(topic, partition): offset}, timeout_ms=5_000)


def test_timestamps_are_rounded_to_milliseconds(kafka, topic, fetch):
    async def go():
        reader = reader_of(kafka, topic, fetch)
        async with running(reader.app) as app:
            stamps = [1_700_000_000.001, 1_700_000_000.007, 1_700_000_000.0149, 0.0]
            for stamp in stamps:
                assert (await (await app.producer.send(topic, b"k", b"v", 0, stamp, {"name": b"value"}))).partition == 0
            await until(lambda: len(reader.values()) == 4)
        assert [t for chunk in reader.chunks for t in chunk.timestamps.tolist()] == [round(stamp * 1000) for stamp in stamps]
        assert list(reader.chunks[0].headers(0)) == [("name", b"value")]

    asyncio.run(go())


def test_a_broker_that_goes_away_and_comes_back_is_waited_for(own_kafka, fetch):
    async def go():
        with_admin = KafkaAdminClient(bootstrap_servers=own_kafka.address)
        make_topic(with_admin, "source", 2)
        with_admin.close()
        await produced(own_kafka.address, "source", numbered(0, 100))
        reader = reader_of(own_kafka.address, "source", fetch, broker_request_timeout=11.0)
        async with running(reader.app) as app:
            await until(lambda: len(reader.values()) == 100)
            await asyncio.to_thread(own_kafka.kill)
            commit = asyncio.ensure_future(app.members.commit_position(TP("source", 0), 50, generation=app.consumer_generation_id))
            await asyncio.sleep(2.0)
            heard = app.members.last_heartbeat_answered()
            await asyncio.to_thread(own_kafka.start)
            await asyncio.wait([commit])
            assert commit.exception() is None or isinstance(commit.exception(), UnansweredCommit | StaleCommit)
            await produced(own_kafka.address, "source", numbered(100, 200))
            await until(lambda: set(map(int, reader.values())) == set(range(200)))
            assert not app.crashed
            await until(lambda: (app.members.last_heartbeat_answered() or 0.0) > heard)

    asyncio.run(go())


def test_a_stopping_member_commits_before_the_others_go_on(kafka, topic, fetch):
    async def go():
        await produced(kafka, topic, numbered(0, 100))
        one, two = reader_of(kafka, topic, fetch), reader_of(kafka, topic, fetch, keep=True)
        stopping, committed = asyncio.Event(), asyncio.Event()

        @one.app.when_stopping
        async def linger(partitions, generation):
            stopping.set()
            await asyncio.sleep(4.0)  # longer than a heartbeat: by now it has been told to join again
            await one.app.members.commit_position(TP(topic, 0), 7, "the last word", generation=generation)
            committed.set()

        async def last():
            await until(lambda: len(one.values()) == 100)

        first = asyncio.ensure_future(run(one.app, last()))
        await stopping.wait()
        async with running(two.app):
            await until(lambda: two.next)
            assert committed.is_set()
            assert two.next[TP(topic, 0)] == 7
        await first

    asyncio.run(go())


@pytest.mark.filterwarnings("ignore::faust.exceptions.AlreadyConfiguredWarning")
def test_calls_into_the_consumers_thread_that_hang_or_are_cancelled_stop_no_other(kafka, topic, fetch):
    async def go():
        await produced(kafka, topic, numbered(0, 10))
        reader = reader_of(kafka, topic, fetch)

        async def cancelled():
            raise asyncio.CancelledError

        async with running(reader.app) as app:
            await until(lambda: len(reader.values()) == 10)
            app.conf.broker_request_timeout = 5.0
            hanging = [asyncio.ensure_future(app.consumer._thread.call_thread(asyncio.sleep, 60)) for _ in range(5)]
            await produced(kafka, topic, numbered(10, 20))
            await until(lambda: len(reader.values()) == 20)
            assert not any(each.done() for each in hanging)
            with pytest.raises(ConsumerStoppedError):
                await app.consumer._thread.call_thread(cancelled)
            assert {type(each) for each in await asyncio.gather(*hanging, return_exceptions=True)} == {TimeoutError}

    asyncio.run(go())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_call_cancelled_inside_a_seek_makes_the_worker_leave_loudly(kafka, topic, fetch, monkeypatch):
    async def go():
        reader = reader_of(kafka, topic, fetch)

        async def cancelled(*_):
            raise asyncio.CancelledError

        monkeypatch.setattr(ConsumerThread, "_seek_all", cancelled)
        with pytest.raises(ConsumerStoppedError):
            await run(reader.app, asyncio.sleep(120))

    asyncio.run(go())
