from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from aiokafka.errors import KafkaTimeoutError
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.engine import running
from streams.transport.chunked import StaleCommit, UnansweredCommit
from streams.transport.faults import Fault, Line, Sessions
from tests.streams.apps import Reader, embedded, until


def line_with(*faults: Fault) -> tuple[Line, list[str]]:
    line, effects = Line(), []
    line.faults += faults
    return line, effects


def test_a_call_is_lost_or_unanswered_or_made_twice():
    async def scenario():
        line, effects = line_with(Fault("lose"), Fault("unanswered"), Fault("twice"))
        with pytest.raises(KafkaTimeoutError):
            await line.do("produce", "t", lambda: effects.append("lost"))
        with pytest.raises(KafkaTimeoutError):
            await line.do("produce", "t", lambda: effects.append("unanswered"))
        await line.do("produce", "t", lambda: effects.append("twice"))
        await line.do("produce", "t", lambda: effects.append("once"))
        return effects

    assert asyncio.run(scenario()) == ["unanswered", "twice", "twice", "once"]


def test_a_fault_waits_for_its_call():
    async def scenario():
        line, effects = line_with(Fault("lose", "commit", "source", skip=1))
        for operation, topic in [("commit", "other"), ("produce", "source"), ("commit", "source")]:
            await line.do(operation, topic, lambda: effects.append("done"))
        with pytest.raises(KafkaTimeoutError):
            await line.do("commit", "source", lambda: effects.append("done"))
        return effects

    assert len(asyncio.run(scenario())) == 3


@pytest.mark.parametrize(("kind", "before"), [("crash before", []), ("crash after", ["effect"])])
def test_a_crash_is_silence_and_a_zombie_goes_on_where_it_was(kind, before):
    async def scenario():
        line, effects = line_with(Fault(kind))
        calling = asyncio.ensure_future(line.do("produce", "t", lambda: effects.append("effect")))
        await asyncio.sleep(0.01)
        assert effects == before
        assert not calling.done()
        assert not line.open
        line.reopen()
        await calling
        assert effects == ["effect"]

    asyncio.run(scenario())


def test_what_a_buried_client_waits_for_ends():
    async def scenario():
        line, effects = line_with(Fault("crash before"))
        calling = asyncio.ensure_future(line.do("produce", "t", lambda: effects.append("effect")))
        await asyncio.sleep(0)
        line.bury()
        with pytest.raises(ConnectionError):
            await calling
        with pytest.raises(ConnectionError):
            await line.do("produce", "t", lambda: effects.append("effect"))
        assert effects == []

    asyncio.run(scenario())


def test_who_is_silent_for_a_session_is_put_out_and_its_partitions_go_to_another():
    async def scenario():
        with embedded(source=4) as broker:
            sessions = Sessions()
            one, other = Reader(broker), Reader(broker)
            async with running(one.app), running(other.app):
                for reader in (one, other):
                    sessions.add(reader.app.line)
                await until(lambda: len(one.app.consumer.assignment()) == len(other.app.consumer.assignment()) == 2)
                generation = broker.group("reader").generation
                one.app.line.cut()
                sessions.advance(9.0)
                assert len(broker.group("reader").members) == 2
                sessions.advance(1.0)
                await until(lambda: len(other.app.consumer.assignment()) == 4)

                # re-opened, it is the zombie: what it commits is refused, and then it comes back as a new member
                one.app.line.reopen()
                with pytest.raises(StaleCommit):
                    await one.app.members.commit_position(TP("source", 0), 1, generation=generation)
                await until(lambda: len(one.app.consumer.assignment()) == len(other.app.consumer.assignment()) == 2)

    asyncio.run(scenario())


def test_a_commit_without_an_answer_may_stand():
    async def scenario():
        with embedded(source=1) as broker:
            reader = Reader(broker)
            async with running(reader.app):
                await until(lambda: reader.app.consumer.assignment())
                reader.app.line.faults.append(Fault("unanswered", "commit"))
                with pytest.raises(UnansweredCommit):
                    await reader.app.members.commit_position(TP("source", 0), 7, generation=reader.app.consumer_generation_id)
                return broker.group("reader").positions["source", 0].offset

    assert asyncio.run(scenario()) == 7


def test_a_rebalance_from_nowhere_and_everybody_reads_on():
    async def scenario():
        with embedded(source=2) as broker:
            reader = Reader(broker, keep=True)
            async with running(reader.app):
                for n in range(10):
                    broker.produce("source", None, b"%d" % n)
                    if n % 3 == 0:
                        broker.group("reader").rebalance()
                    await asyncio.sleep(0.01)
                await until(lambda: len(set(reader.values())) == 10)
            assert broker.group("reader").generation >= 3

    asyncio.run(scenario())


def test_holes_are_read_over():
    async def scenario():
        with embedded(source=1) as broker:
            reader = Reader(broker)
            async with running(reader.app):
                for n in range(5):
                    broker.produce("source", None, b"%d" % n)
                    broker.skip("source", 0)
                await until(lambda: len(reader.values()) == 5)
            assert broker.end_offset("source", 0) == 15

    asyncio.run(scenario())


def test_a_crashed_app_is_thrown_away_and_none_of_its_last_words_arrive():
    async def scenario():
        with embedded(source=1) as broker:
            reader = Reader(broker, keep=True)
            await reader.app.start()
            broker.produce("source", None, b"1")
            await until(lambda: reader.values() == [b"1"])
            reader.app.line.cut()
            stopping = asyncio.ensure_future(reader.app.stop())  # wants to commit, as it was asked to
            await asyncio.sleep(0.05)
            assert ("source", 0) not in broker.group("reader").positions
            assert len(broker.group("reader").members) == 1
            reader.app.line.bury()
            with suppress(ConnectionError):
                await asyncio.wait_for(stopping, 60)
            assert ("source", 0) not in broker.group("reader").positions

    asyncio.run(scenario())


records = st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.one_of(st.none(), st.binary(max_size=4))), max_size=30)


@given(records, st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=3), st.integers(0, 30))
def test_compaction_keeps_the_last_value_of_each_key_at_its_offset(sent, passes, more):
    with embedded(states=1) as broker:
        broker.create_topic("compacted", 1)
        for n, (key, value) in enumerate(sent):
            broker.produce("compacted", key, value, timestamp_ms=n)
            if n == more:
                broker.skip("compacted", 0)
        before = {r.key: r for r in broker.read("compacted", 0)}
        for upto, tombstones in passes:
            broker.compact("compacted", 0, upto=upto, tombstones_before_ms=50 if tombstones else None)
        after = broker.read("compacted", 0)
        offsets = [r.offset for r in after]
        assert offsets == sorted(set(offsets))
        kept = {r.key: r for r in after}
        for key, record in before.items():
            if record.value is not None:
                assert kept[key] == record  # timestamps and all
            else:
                assert key not in kept or kept[key] == record
        assert broker.produce("compacted", b"z", b"last").offset == len(sent) + 2 * (more < len(sent))
        assert broker.read("compacted", 0)[-1].value == b"last"
