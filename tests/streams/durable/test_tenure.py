from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from streams.durable.checkpoints import Frozen
from streams.durable.manifest import CutPosition
from streams.durable.tenure import Tenure


def test_a_checkpoint_that_is_broken_off_while_it_awaits_deliveries_forgets_none_of_them():
    """Its fold is dead: in the next generation its memory is not kept, and what was said since the last checkpoint is said again."""

    async def go():
        part, cuts = SimpleNamespace(next=7, first=0, pieces=list), SimpleNamespace(position=CutPosition())
        tenure = Tenure(part, SimpleNamespace(), cuts, alive=True)
        never = asyncio.get_running_loop().create_future()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):  # partitions are given back, and the broker is slow
                await tenure.write(Frozen(7, [], CutPosition(), [never]))
        return tenure.alive, await tenure.keep(2)

    assert asyncio.run(go()) == (False, False)
