"""The watchdog at work: what it is shown of each partition of a worker, and what follows from what it finds (`streams.watchdog`)."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from streams.agents.watch import Watcher
from streams.durable.tenures import Tenures
from streams.transport.tail import Logs
from streams.watchdog import LOOK, Deaf, Standing, Watchdog, more_to_do

if TYPE_CHECKING:
    from faust.types import TP

    from streams.engine import App

logger = logging.getLogger("streams.awake")
SILENCE = 10.0  # seconds without a heartbeat answered: a broker that is away explains why nothing moves


def keep_awake(app: App, dog: Watchdog, tenures: dict[str, Tenures], watchers: dict[str, Watcher], logs: Logs) -> None:
    """Leave loudly where a partition stands still for no reason; both dictionaries by source topic."""

    async def standing(tp: TP) -> Standing:
        held, watcher = tenures[tp.topic], watchers[tp.topic]
        folded = watcher.position(tp.partition)
        fetched, handed = app.members.read_to(tp)
        waits = tp.partition in held.restoring or tp.partition in held.parked or watcher.building(tp.partition)
        waits = waits or (tp.partition in held.held and held.held[tp.partition].freezing)
        if waits or folded is None:
            return Standing(folded, True, waits)
        try:
            # asked of the log itself: the consumer knows an end only of what it fetches
            end = await logs.end(*tp)
        except Exception:  # a broker that does not answer: nothing can move
            return Standing((folded, fetched, handed), True, True)
        return Standing((folded, fetched, handed), more_to_do(folded, fetched, handed, end))

    def hears() -> bool:
        clock = getattr(app.consumer, "clock", time.monotonic)
        heard = app.members.last_heartbeat_answered()
        return not app.members.given_back and heard is not None and clock() - heard < SILENCE

    async def look(dog: Watchdog) -> str | None:
        if why := app.members.broken():
            return why
        seen: dict[str, Standing] = {}
        if hears():
            tps = sorted(tp for tp in app.consumer.assignment() if tp.topic in tenures)
            found = await asyncio.gather(*(standing(tp) for tp in tps))
            seen = {f"{tenures[tp.topic].stream}/{tp.partition}": each for tp, each in zip(tps, found, strict=True)}
        stuck = dog.look(seen)
        if not stuck or not hears():
            return None
        where = "; ".join(f"{name} at {seen[name].place}" for name in stuck)
        return f"{where} stood still for {dog.limit:g} s though the log has more: another worker must take over"

    async def keep_looking() -> None:
        why: str | None = None
        while why is None:
            await asyncio.sleep(LOOK)
            try:
                why = await look(dog)
            except Exception as problem:  # the consumer is not there yet, or no longer
                logger.info("The watchdog could not look: %r", problem)
            if app.should_stop:
                return
        await app.crash(Deaf(why))

    app.task(keep_looking)
