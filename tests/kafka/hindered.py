"""A worker that is hindered at the worst moments: ``python -m tests.kafka.hindered STEP``.

STEP is one of `STEPS`: it stops itself (SIGSTOP) behind that step of its first restore, until somebody lets it go on. Or `waits` or
`works`: every chunk keeps its fold busy for a while, by waiting, or by holding up all else in the process; chunks are small, so
that queues are full. It then says, whenever partitions are given back, how many chunks lay before each.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter

import streams.app
from streams.agents.watch import Watcher
from streams.cli.main import main
from streams.durable.member_store import MemberStore
from streams.transport import kafka_logs
from streams.transport.chunked import ChunkedConsumer
from streams.transport.cutting import ChunkLimits
from streams.transport.kafka_logs import KafkaLogs

# What it has done of a partition when it stops: so many calls of a method, whose first argument names a topic.
STEPS = {
    "commit": (MemberStore, "committed", "", 1),
    "some chunks": (KafkaLogs, "_fetch", "nilometer.checkpoints.", 1),
    "chunks": (MemberStore, "read_to_end", "nilometer.checkpoints.", 1),
    "commit again": (MemberStore, "committed", "", 2),
    "cut log": (KafkaLogs, "_fetch", "nilometer.cuts.", 1),
    "end of the source": (MemberStore, "source_end", "", 2),
    "begin": (MemberStore, "append", "nilometer.cuts.", 1),
}
SLOW = {"waits": (10, 0.25), "works": (2, 0.02)}  # records of a chunk at most, and seconds that it takes


def stop_behind(step):
    """Once."""
    owner, name, topic, many = STEPS[step]
    method, counted, stopped = getattr(owner, name), Counter(), []

    async def stopping(self, *arguments):
        result = await method(self, *arguments)
        if name == "append":
            await result  # it is there
        place = arguments[:2] if owner is KafkaLogs else arguments[0]
        if topic in place[0]:
            counted[place] += 1
            if counted[place] == many and not stopped:
                stopped.append(place)
                os.kill(os.getpid(), signal.SIGSTOP)
        return result

    setattr(owner, name, stopping)
    kafka_logs.FETCH_BYTES = 2_000  # one batch comes at a time


def slow_down(how):
    """For ever."""
    records, seconds = SLOW[how]
    drive, revoked, assemble = Watcher._drive, ChunkedConsumer.on_partitions_revoked, streams.app.assemble

    async def driving(self, part, folding):
        if how == "waits":
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)
        return await drive(self, part, folding)

    async def giving_back(self, partitions):
        lying = [
            sum(channel.queue.qsize() for channel in self.app.topics._tp_index.get(tp, ())) + len(self._cut.get(tp, ()))
            for tp in sorted(partitions)
            if tp.topic in self.chunks.topics
        ]
        print(f"hindered: gives back with {lying} chunks before each", flush=True)
        await revoked(self, partitions)

    def assembling(*arguments, **more):
        pipeline = assemble(*arguments, **more)
        pipeline.app.chunks.limits = ChunkLimits(records=records)
        return pipeline

    Watcher._drive, ChunkedConsumer.on_partitions_revoked, streams.app.assemble = driving, giving_back, assembling


if __name__ == "__main__":
    (stop_behind if sys.argv[1] in STEPS else slow_down)(sys.argv[1])
    main(["worker"])
