"""What a broker refuses is told, and tried again less and less often."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from unittest import mock

from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError

from streams.durable import tenures
from streams.durable.pace import Pace
from streams.durable.tenures import Tenures
from streams.telemetry.metrics import Metrics
from streams.undelivered import PAUSE, Undelivered


def test_what_a_broker_does_not_take_is_counted_and_told_once_in_a_while_with_a_cure(caplog):
    async def go():
        metrics, now = Metrics(), [100.0]
        undelivered = Undelivered(metrics, clock=lambda: now[0])
        for topic, problem, later in (
            ("alerts.cards", MessageSizeTooLargeError(), 0.0),
            ("alerts.cards", MessageSizeTooLargeError(), PAUSE / 2),
            ("alerts.errors", TopicAuthorizationFailedError("alerts.errors"), 0.0),
            ("alerts.cards", MessageSizeTooLargeError(), PAUSE),
            ("alerts.cards", None, 2 * PAUSE),
        ):
            now[0] += later
            delivery = asyncio.get_running_loop().create_future()
            assert undelivered.watch(topic, delivery) is delivery
            if problem is None:
                delivery.set_result(0)
            else:
                delivery.set_exception(problem)
            await asyncio.sleep(0)
        assert metrics.undelivered.labels("alerts.cards")._value.get() == 3
        assert metrics.undelivered.labels("alerts.errors")._value.get() == 1

    with caplog.at_level(logging.ERROR, "streams.undelivered"):
        asyncio.run(go())
    large, forbidden, again = (record.getMessage() for record in caplog.records)
    assert large == again
    assert "topic alerts.cards: the broker did not take what we wrote" in large
    assert "raise its max.message.bytes" in large
    assert "grant us to write it" in forbidden


def test_a_fold_that_dies_again_and_again_without_a_checkpoint_waits_longer_and_longer():
    asked, pauses, generation = [], [], [7]
    held = Tenures("errors", mock.Mock(), 1.0, lambda number: number == generation[0], asked.append, Pace(0))

    def dies():
        dead = SimpleNamespace(why="refused", suspended=False, generation=7, kill=lambda why: None)
        held.held[0] = dead
        held.died(0, dead)

    loop = SimpleNamespace(call_later=lambda pause, work, *arguments: pauses.append((pause, work, arguments)))
    with mock.patch.object(tenures.asyncio, "get_running_loop", return_value=loop):
        for _ in range(1_200):
            dies()
    assert len(asked) == 1  # the first time at once
    assert [pause for pause, *_ in pauses[:7]] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert held.restoring == {0}  # the watchdog knows why it stands still
    _, bring_back, arguments = pauses[0]
    bring_back(*arguments)
    assert len(asked) == 2
    generation[0] = 8
    bring_back(*arguments)
    assert len(asked) == 2  # a new generation has come anyway
