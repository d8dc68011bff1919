"""Faust agents on the embedded broker."""

from __future__ import annotations

import asyncio
import random

import faust
import pytest
from faust.exceptions import NotReady, ProducerSendError
from faust.types import TP
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.engine import run, running
from streams.transport import chunked
from streams.transport.broker import MAX_RECORD_BYTES
from streams.transport.chunked import StaleCommit
from streams.transport.cutting import ChunkLimits
from tests.streams.apps import Reader, embedded, until
from tests.streams.transport.records import drawn_records, rows

FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(drawn_records, st.builds(ChunkLimits, st.integers(1, 20), st.integers(1, 100)), st.integers(1, 3))
def test_agents_get_every_record_once_and_in_order_however_chunks_are_cut(drawn, limits, partitions):
    async def scenario():
        with embedded(source=partitions) as broker:
            for record in drawn[::2]:
                broker.produce("source", *record)
            reader = Reader(broker, limits=limits)
            async with running(reader.app):
                for record in drawn[1::2]:
                    broker.produce("source", *record)
                await until(lambda: len(reader.values()) == len(drawn))
            for partition in range(partitions):
                computed = [row for chunk in reader.chunks if chunk.partition == partition for row in rows(chunk)]
                assert computed == broker.read("source", partition)

    asyncio.run(scenario())


def test_every_partition_has_an_actor_of_its_own():
    async def scenario():
        with embedded(source=5) as broker:
            reader = Reader(broker)
            async with running(reader.app):
                for n in range(50):
                    broker.produce("source", None, b"%d" % n)
                await until(lambda: len(reader.values()) == 50)
        assert sorted(reader.actors) == list(range(5))
        assert all(len(actors) == 1 for actors in reader.actors.values())
        assert len(set.union(*reader.actors.values())) == 5

    asyncio.run(scenario())


def test_a_partition_whose_agent_waits_stops_no_other_and_its_queue_stays_short():
    async def scenario():
        with embedded(source=2) as broker:
            for n in range(400):
                broker.produce("source", None, b"%d" % n)
            reader = Reader(broker, limits=ChunkLimits(records=1))
            gate = asyncio.Event()
            slow = []

            @reader.app.agent(reader.app.chunked_topic("slow"), isolated_partitions=True)
            async def wait(stream):
                async for chunk in stream:
                    slow.append(chunk)
                    await gate.wait()

            broker.create_topic("slow", 1)
            for n in range(100):
                broker.produce("slow", None, b"%d" % n)
            async with running(reader.app):
                await until(lambda: len(reader.values()) == 400)
                waiting = [channel.queue.qsize() for channel in reader.app.topics._tp_index[TP("slow", 0)]]
                assert waiting == [chunked.QUEUED_CHUNKS]
                assert len(slow) == 1
                gate.set()
                await until(lambda: len(slow) == 100)
            assert [value for chunk in slow for value in chunk.values()] == [b"%d" % n for n in range(100)]

    asyncio.run(scenario())


def test_reading_begins_at_the_positions_given():
    async def scenario():
        with embedded(source=3) as broker:
            for n in range(30):
                broker.produce("source", None, b"%d" % n)
            broker.group("reader").positions["source", 1] = chunked.Committed(4, "somewhere else")
            reader = Reader(broker)
            reader.next = {TP("source", 0): 7, TP("source", 1): 9}
            async with running(reader.app):
                await until(lambda: len(reader.values()) == 3 + 1 + 10)
        assert {chunk.partition: chunk.first for chunk in reversed(reader.chunks)} == {0: 7, 1: 9, 2: 0}

    asyncio.run(scenario())


def test_a_restart_goes_on_at_the_committed_offset_which_keeps_its_metadata():
    async def scenario():
        with embedded(source=2) as broker:
            for n in range(20):
                broker.produce("source", None, b"%d" % n)
            first = Reader(broker)
            async with running(first.app):
                await until(lambda: len(first.values()) == 20)
                generation = first.app.consumer_generation_id
                await first.app.members.commit_position(TP("source", 0), 8, "tenure/17", generation=generation)
                await first.app.members.commit_position(TP("source", 1), 10, generation=generation)
            again = Reader(broker)
            async with running(again.app):
                assert await again.app.members.committed_position(TP("source", 0)) == (8, "tenure/17")
                broker.produce("source", None, b"new", partition=1)
                await until(lambda: len(again.values()) == 3)
        assert again.values(0) == first.values(0)[8:]
        assert again.values(1) == [b"new"]

    asyncio.run(scenario())


def test_two_apps_of_a_group_share_the_partitions_and_nothing_is_lost_or_doubled_when_one_comes_and_goes():
    async def scenario():
        with embedded(source=4) as broker:
            sent = 0

            def send(n):
                nonlocal sent
                for _ in range(n):
                    broker.produce("source", None, b"%d" % sent)
                    sent += 1

            stays = Reader(broker, keep=True)
            guests = []
            async with running(stays.app):
                for _ in range(3):
                    send(40)
                    guest = Reader(broker, keep=True)
                    guests.append(guest)
                    async with running(guest.app):
                        send(40)
                        await until(lambda g=guest: len(g.app.consumer.assignment()) == len(stays.app.consumer.assignment()) == 2)
                        send(40)
                        await until(lambda g=guest: g.next and all(g.next[tp] == broker.end_offset(*tp) for tp in g.next))
                        assert not guest.app.consumer.assignment() & stays.app.consumer.assignment()
                    await until(lambda: len(stays.app.consumer.assignment()) == 4)
                send(40)
                await until(lambda: stays.next and all(stays.next[tp] == broker.end_offset(*tp) for tp in stays.next))
            values = [value for reader in (stays, *guests) for value in reader.values()]
            assert sorted(values, key=int) == [b"%d" % n for n in range(sent)]

    asyncio.run(scenario())


def test_more_members_than_partitions_is_no_harm():
    async def scenario():
        with embedded(source=1) as broker:
            readers = [Reader(broker, keep=True) for _ in range(3)]
            async with running(readers[0].app), running(readers[1].app), running(readers[2].app):
                await until(lambda: sorted(len(r.app.consumer.assignment()) for r in readers) == [0, 0, 1])
                broker.produce("source", None, b"1")
                await until(lambda: [r.values() for r in readers if r.values()] == [[b"1"]])

    asyncio.run(scenario())


def test_a_commit_after_a_rebalance_with_the_generation_before_it_is_refused():
    async def scenario():
        with embedded(source=2) as broker:
            reader = Reader(broker)
            async with running(reader.app):
                before = reader.app.consumer_generation_id
                guest = Reader(broker)
                async with running(guest.app):
                    await until(lambda: len(guest.app.consumer.assignment()) == 1)
                    with pytest.raises(StaleCommit, match=f"the commit is of {before}"):
                        await reader.app.members.commit_position(TP("source", 0), 1, generation=before)
            assert not broker.group("reader").positions

    asyncio.run(scenario())


def test_nothing_is_read_between_giving_back_and_being_assigned_anew():
    async def scenario():
        with embedded(source=1) as broker:
            broker.produce("source", None, b"1")
            reader, group = Reader(broker, keep=True), broker.group("reader")
            restoring, go_on = asyncio.Event(), asyncio.Event()

            @reader.app.when_assigned
            async def restore_slowly(tps, generation):
                restoring.set()
                await go_on.wait()

            over = asyncio.Event()
            at_work = asyncio.ensure_future(run(reader.app, over.wait()))
            try:
                await restoring.wait()
                stranger = group.enter(lambda: None)  # and does not join: the reader gives back and waits
                await until(lambda: group.members[reader.app.members.member].answer)
                go_on.set()  # only now does the first assignment settle
                await asyncio.sleep(0.05)
                assert reader.values() == []
                group.leave(stranger)
                await until(lambda: reader.values() == [b"1"])
            finally:
                over.set()
                await at_work

    asyncio.run(scenario())


def test_an_actor_whose_partition_goes_while_it_waits_ends_quietly():
    async def scenario():
        with embedded(source=2) as broker:
            reader = Reader(broker, keep=True)
            begun, ended = [], []

            @reader.app.agent(reader.app.chunked_topic("awaited"), isolated_partitions=True)
            async def wait(stream):
                async for chunk in stream:
                    begun.append(chunk.partition)
                    try:
                        await asyncio.sleep(600)
                    except asyncio.CancelledError:
                        ended.append(chunk.partition)
                        raise

            broker.create_topic("awaited", 2)
            broker.produce("awaited", None, b"1", partition=0)
            broker.produce("awaited", None, b"1", partition=1)
            async with running(reader.app):
                await until(lambda: len(begun) == 2)
                guest = Reader(broker)

                @guest.app.agent(guest.app.chunked_topic("awaited"), isolated_partitions=True)
                async def read(stream):
                    async for _ in stream:
                        pass

                async with running(guest.app):
                    await until(lambda: ended)
                    await asyncio.sleep(0.05)
                    assert not reader.app.crashed
                    assert len(ended) == 1

    asyncio.run(scenario())


def test_the_producers_future_says_where_the_record_is():
    async def scenario():
        with embedded(source=2, target=2) as broker:
            reader = Reader(broker)
            async with running(reader.app):
                send = reader.app.producer.send
                sent = await send("target", b"k", b"v", 1, 12.345, {"h": b"x"})
                assert not sent.done()
                metadata = await sent
                assert (metadata.topic, metadata.partition, metadata.offset) == ("target", 1, 0)
                assert metadata.topic_partition == ("target", 1)
                again = await reader.app.producer.send_and_wait("target", b"k", None, 1, None, [("h", None)])
                assert again.offset == 1
                assert broker.read("target", 1)[0] == ("target", 1, 0, 12345, b"k", b"v", (("h", b"x"),))
                where = reader.app.producer.key_partition("target", b"some key")
                assert (await (await send("target", b"some key", b"", None, None, None))).topic_partition == where

    asyncio.run(scenario())


def test_what_cannot_be_sent_fails_and_the_app_lives():
    async def scenario():
        with embedded(source=1, target=1) as broker:
            reader = Reader(broker)
            producer = reader.app.producer
            with pytest.raises(NotReady):
                await producer.send("target", None, b"", None, None, None)
            async with running(reader.app):
                with pytest.raises(ProducerSendError, match="at most 1048576 bytes may be sent"):
                    await producer.send("target", b"k", bytes(MAX_RECORD_BYTES), None, None, None)
                with pytest.raises(ProducerSendError, match="has no topic 'nowhere'"):
                    await producer.send("nowhere", b"k", b"", None, None, None)
                broker.produce("source", None, b"1")
                await until(lambda: reader.values() == [b"1"])

    asyncio.run(scenario())


def test_ordinary_topics_of_an_ordinary_app_go_fausts_own_way():
    async def scenario():
        with embedded(words=2) as broker:
            app = faust.App("ordinary", broker=f"memory://{broker.name}", store="memory://", web_enabled=False, topic_disable_leader=True)
            app._create_directories = lambda: None
            seen = []

            @app.agent(app.topic("words", value_type=bytes, value_serializer="raw"))
            async def read(stream):
                async for event in stream.events():
                    seen.append(  # noqa: PERF401  # the stream does not end
                        (event.message.partition, event.message.offset, event.value, event.headers)
                    )

            for n in range(1200):
                broker.produce("words", None, b"%d" % n, [("h", b"x")])
            try:
                await app.start()
                await until(lambda: len(seen) == 1200)
                await app.commit(None)
            finally:
                await app.stop()
            assert sorted(seen) == sorted((n % 2, n // 2, b"%d" % n, {"h": b"x"}) for n in range(1200))
            assert broker.group("ordinary").positions == {("words", 0): (600, ""), ("words", 1): (600, "")}

    asyncio.run(scenario())


def test_records_may_be_produced_from_other_threads():
    async def scenario():
        with embedded(source=2) as broker:
            reader = Reader(broker)

            def produce(which):
                for n in range(500):
                    broker.produce("source", None, b"%d" % n, partition=which)

            async with running(reader.app):
                await asyncio.gather(asyncio.to_thread(produce, 0), asyncio.to_thread(produce, 1))
                await until(lambda: len(reader.values()) == 1000)
            assert reader.values(0) == reader.values(1) == [b"%d" % n for n in range(500)]

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", [0])
def test_members_that_come_and_go_at_random_lose_and_double_nothing(seed):
    async def scenario():
        draw = random.Random(seed)
        with embedded(source=8) as broker:
            readers, over = [], asyncio.Event()

            async def feed():
                while not over.is_set():
                    for _ in range(draw.randrange(20)):
                        broker.produce("source", None, b"")
                    await asyncio.sleep(0.001)

            async def come_and_go():
                while not over.is_set():
                    readers.append(Reader(broker, keep=True))
                    async with running(readers[-1].app):
                        await asyncio.sleep(draw.random() * 0.2)

            at_work = [asyncio.ensure_future(work) for work in (feed(), come_and_go(), come_and_go(), come_and_go())]
            await asyncio.sleep(1.0)
            over.set()
            await asyncio.gather(*at_work)
            last = Reader(broker, keep=True)
            async with running(last.app):
                await until(lambda: len(last.next) == 8 and all(last.next[tp] == broker.end_offset(*tp) for tp in last.next))
            read = sorted((chunk.partition, offset) for reader in (*readers, last) for chunk in reader.chunks for offset in chunk.offsets)
            assert read == [(partition, offset) for partition in range(8) for offset in range(broker.end_offset("source", partition))]

    asyncio.run(scenario())
