"""The pace of checkpoints: a budget of bytes a second over all partitions, and none where partitions are given back."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from streams.durable.pace import Pace


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def paced(rate: float) -> tuple[Pace, Clock]:
    clock = Clock()
    return Pace(rate, clock, clock.sleep), clock


@given(st.lists(st.integers(1, 900_000), min_size=1, max_size=50), st.integers(1, 4), st.integers(10_000, 100_000_000))
def test_never_more_leaves_than_the_rate_and_one_chunk_whoever_sends(sizes, senders, rate):
    pace, clock = paced(rate)
    sent = []

    async def send(mine):
        for size in mine:
            await pace(size)
            sent.append((clock.now, size))

    async def go():
        await asyncio.gather(*(send(sizes[i::senders]) for i in range(senders)))

    asyncio.run(go())
    begun = sent[0][0]
    for i, (at, _) in enumerate(sent):
        assert sum(size for _, size in sent[:i]) <= (at - begun) * rate + 1e-6 * rate


def test_what_was_not_used_is_not_saved_up():
    pace, clock = paced(1000.0)

    async def go():
        await pace(500)
        clock.now += 3600.0
        begun = clock.now
        for _ in range(4):
            await pace(500)
        return clock.now - begun

    assert abs(asyncio.run(go()) - 1.5) < 1e-6


def test_in_a_hurry_nobody_waits_nor_has_waited_in_vain():
    pace = Pace(1000.0)

    async def go():
        gone = asyncio.Event()

        async def send():
            await pace(1_000_000)
            await pace(1_000_000)
            gone.set()

        sender = asyncio.ensure_future(send())
        await asyncio.sleep(0)
        assert not gone.is_set()
        with pace.hurry():
            await asyncio.wait_for(gone.wait(), 60.0)
            for _ in range(1000):
                await pace(1_000_000_000)
        await pace(1)  # and afterwards no debt is left
        await sender

    asyncio.run(asyncio.wait_for(go(), 120.0))
