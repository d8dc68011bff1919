"""Partitions that are given back while something is under way."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from streams.durable import tenures
from streams.durable.pace import Pace
from streams.durable.tenure import Tenure
from streams.durable.tenures import Tenures


@pytest.mark.parametrize(("heard_again", "written"), [(False, []), (True, [8])])
def test_the_last_words_do_not_wait_for_a_fold_that_the_group_has_silenced(monkeypatch, heard_again, written):
    """It had been folded when the lease ran out, and holds its lock until it may speak."""
    monkeypatch.setattr(tenures, "LEASE", 60.0 if heard_again else 0.2)

    async def go():
        lease, made, part = [], [], SimpleNamespace(next=7, first=0)
        tenure = Tenure(part, SimpleNamespace(), SimpleNamespace(), lambda: bool(lease), alive=True)
        held = Tenures("cards", lambda number: tenure, 10.0, lambda generation: True, lambda why: None, Pace(1e9), held={0: tenure})
        held_by_the_fold, over = asyncio.Event(), asyncio.Event()

        async def fold():
            async with tenure.lock:
                held_by_the_fold.set()
                while not (tenure.may_speak or over.is_set()):
                    await asyncio.sleep(0.01)
                part.next = 8

        async def checkpoint(number):
            async with tenure.lock:
                made.append(part.next)

        monkeypatch.setattr(held, "checkpoint", checkpoint)
        folding = asyncio.ensure_future(fold())
        await held_by_the_fold.wait()
        if heard_again:
            asyncio.get_running_loop().call_later(0.1, lease.append, True)
        async with asyncio.timeout(60.0):
            await held.revoke(1e9)
        assert tenure.suspended
        assert folding.done() == heard_again
        over.set()
        await folding
        return made

    assert asyncio.run(go()) == written
