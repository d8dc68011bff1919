from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from faust.exceptions import ConsumerNotStarted
from faust.types import TP

from streams.engine import run, running
from streams.transport.cutting import LostPosition, take
from tests.streams.apps import Reader, embedded, until

ROOT = Path(__file__).resolve().parents[2]


def test_an_app_is_up_and_down_again_in_an_instant():
    async def scenario():
        with embedded(source=4) as broker:
            for n in range(40):
                broker.produce("source", None, b"%d" % n)
            begin = time.monotonic()
            reader = Reader(broker)
            async with running(reader.app):
                await until(lambda: len(reader.values()) == 40)
                middle = time.monotonic()
            return middle - begin, time.monotonic() - middle

    # 0.02 s on a quiet machine; the best of some, since on a busy one any of them may be held up
    ups, downs = zip(*(asyncio.run(scenario()) for _ in range(5)), strict=True)

    assert min(ups) < 1.0
    assert min(downs) < 1.0


def test_apps_may_follow_one_another_and_stand_side_by_side():
    async def one(broker, name):
        reader = Reader(broker, name=name)
        async with running(reader.app):
            await until(lambda: reader.values() == [b"1"])

    with embedded(source=1) as broker:
        broker.produce("source", None, b"1")
        for name in ("a", "b", "c"):
            asyncio.run(one(broker, name))

        async def together():
            await asyncio.gather(one(broker, "d"), one(broker, "e"))

        asyncio.run(together())


def test_run_ends_with_what_it_waits_for():
    async def scenario():
        with embedded(source=1) as broker:
            reader = Reader(broker)

            async def end():
                broker.produce("source", None, b"1")
                await until(lambda: reader.values() == [b"1"])

            await run(reader.app, end())
            assert reader.app.should_stop

    asyncio.run(scenario())


def test_an_error_in_an_agent_ends_the_app_and_no_later_chunk_is_read():
    async def scenario():
        with embedded(source=1) as broker:
            reader = Reader(broker)

            def fail(chunk):
                if b"bad" in chunk.values():
                    raise ZeroDivisionError("in the agent")

            reader.problem = fail

            async def more():
                broker.produce("source", None, b"good")
                await until(reader.values)
                for value in (b"bad", b"after"):
                    broker.produce("source", None, value)
                    await asyncio.sleep(0.02)
                await asyncio.sleep(600)

            with pytest.raises(ZeroDivisionError, match="in the agent"):
                await asyncio.wait_for(run(reader.app, more()), 60)
            assert reader.values() == [b"good"]

    asyncio.run(scenario())


@pytest.mark.parametrize("when", ["when_assigned", "when_stopping"])
def test_an_error_in_a_handler_ends_the_app_and_is_not_swallowed(when):
    async def scenario():
        with embedded(source=1) as broker:
            reader = Reader(broker)

            async def fail(tps, generation):
                raise ZeroDivisionError("in the handler")

            getattr(reader.app, when)(fail)
            with pytest.raises(ZeroDivisionError, match="in the handler"):
                # an app that stops by itself; or else the error comes first
                await asyncio.wait_for(run(reader.app, asyncio.sleep(0.2 if when == "when_stopping" else 600)), 60)

    asyncio.run(scenario())


def test_a_consumer_whose_thread_has_ended_does_not_keep_the_app_from_stopping(monkeypatch):
    async def scenario():
        with embedded(source=1) as broker:
            reader, told = Reader(broker), []

            @reader.app.when_stopping
            async def stopping(tps, generation):
                told.append(tps)

            def gone():
                raise ConsumerNotStarted("the thread has ended")

            async with running(reader.app):
                await until(lambda: reader.app.consumer.assignment())
                monkeypatch.setattr(reader.app.consumer, "assignment", gone)
            return told

    assert asyncio.run(scenario()) == [set()]


def test_a_handler_that_is_cancelled_from_within_ends_the_app_and_leaves_it_not_deaf():
    async def scenario():
        with embedded(source=1) as broker:
            reader = Reader(broker)

            async def cancelled(tps, generation):
                raise asyncio.CancelledError

            reader.app.when_assigned(cancelled)
            with pytest.raises(RuntimeError, match="was cancelled from within"):
                await asyncio.wait_for(run(reader.app, asyncio.sleep(600)), 60)

    asyncio.run(scenario())


def test_a_position_outside_the_log_ends_the_app_with_its_reason():
    async def scenario():
        with embedded(source=1) as broker:
            reader = Reader(broker)
            reader.next[TP("source", 0)] = 5
            with pytest.raises(Exception, match="source/0 holds offsets 0 to 0, asked for 5"):
                await asyncio.wait_for(run(reader.app, asyncio.sleep(600)), 60)

    asyncio.run(scenario())


def test_a_chunk_from_above_the_position_is_an_error_and_one_from_below_is_trimmed():
    async def scenario():
        with embedded(source=1) as broker:
            for n in range(10):
                broker.produce("source", None, b"%d" % n)
            reader = Reader(broker)
            consumer = reader.app.members
            tp = TP("source", 0)
            chunk = broker.chunk("source", 0, 0, 10, 100)
            async with running(reader.app):
                consumer._wanted[tp] = 4
                (rest,) = consumer._cut_up(tp, take(chunk, 2, 8))
                assert list(rest.values()) == [b"4", b"5", b"6", b"7"]
                assert list(consumer._cut_up(tp, take(chunk, 0, 8))) == []
                with pytest.raises(LostPosition, match="source/0: wanted offset 8, got a chunk from 9"):
                    consumer._cut_up(tp, take(chunk, 9, 10))

    asyncio.run(scenario())


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 20, 50])
def test_cancelling_leaves_nothing_behind_whenever_it_comes(steps):
    async def scenario():
        with embedded(source=2) as broker:
            reader = Reader(broker)
            task = asyncio.ensure_future(run(reader.app, asyncio.sleep(600)))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 60)
            assert not broker.group("reader").members
            await asyncio.sleep(0.05)
            assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []

    asyncio.run(scenario())


PROGRAM = """
import asyncio, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background is born deaf to it
from streams.engine import create_app, run
from streams.transport.broker import Broker

Broker.named("ctrl-c").create_topic("source", 2)
app = create_app(name="ctrl-c", broker_url="memory://ctrl-c")

@app.agent(app.chunked_topic("source"), isolated_partitions=True)
async def read(chunks):
    async for chunk in chunks:
        pass

@app.when_assigned
async def up(tps, generation):
    print("up", flush=True)

@app.when_stopping
async def stopping(tps, generation):
    print("stopping", flush=True)

asyncio.run(run(app, asyncio.sleep(60)))
"""


def test_ctrl_c_stops_an_app_in_order():
    with subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "up\n"
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=60)
        finally:
            process.kill()
    assert out == "stopping\n"
    assert error.rstrip().endswith("KeyboardInterrupt")
