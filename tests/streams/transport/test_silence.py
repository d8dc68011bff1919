"""When a connection counts as silent."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest_v4
from aiokafka.protocol.group import HeartbeatRequest_v1, JoinGroupRequest_v5, SyncGroupRequest_v3
from aiokafka.protocol.produce import ProduceRequest_v7

from streams.transport.silence import Watch, patience

HEARTBEAT = HeartbeatRequest_v1("group", 1, "member")
JOIN = JoinGroupRequest_v5("group", 10_000, 60_000, "", None, "consumer", [])
SYNC = SyncGroupRequest_v3("group", 1, "member", None, [])
FETCH = FetchRequest_v4(-1, 50, 1, 1 << 20, 1, [])


class Connection:
    """As much of aiokafka's as is looked at, and a clock."""

    host, port = "broker", 9092

    def __init__(self) -> None:
        self.now, self.reason, self.sent = 0.0, None, 0
        self._requests: deque[tuple[int, Any, None]] = deque()
        self._last_action = 0.0
        self._reader: Any = SimpleNamespace(_buffer=bytearray())
        self._writer = SimpleNamespace(transport=SimpleNamespace(get_write_buffer_size=lambda: self.sent))
        self._watch = Watch(self, 12.0, lambda: self.now)  # type: ignore[arg-type]

    def connected(self) -> bool:
        return self._reader is not None

    def close(self, reason: Any, exc: Exception) -> None:
        self._reader, self.reason = None, reason

    def asked(self, *requests: Any) -> Connection:
        self._requests.extend((number, request, None) for number, request in enumerate(requests))
        return self

    def lives(self, seconds: float, step: float = 1.0) -> bool:
        for _ in range(round(seconds / step)):
            self.now += step
            self._watch.look()
        return self.connected()


def appended(size: int) -> ProduceRequest_v7:
    return ProduceRequest_v7(None, -1, 30_000, [("alerts", [(0, b"x" * size), (1, b"")])])


def test_who_owes_nothing_may_be_silent_for_ever() -> None:
    assert Connection().lives(1_000.0)


def test_who_owes_an_answer_is_given_up_after_twelve_seconds() -> None:
    connection = Connection().asked(HEARTBEAT)
    assert connection.lives(12.0)
    assert not connection.lives(2.0)
    assert connection.reason is not None


def test_the_wait_counts_from_the_question() -> None:
    connection = Connection()
    connection.lives(100.0)
    assert connection.asked(FETCH).lives(12.0)
    assert not connection.lives(2.0)


@pytest.mark.parametrize("moves", ["comes", "answered", "leaves"])
def test_whoever_moves_at_all_is_not_silent(moves: str) -> None:
    connection = Connection().asked(FETCH)
    for _ in range(20):
        assert connection.lives(10.0)
        if moves == "comes":
            connection._reader._buffer += b"x"
        elif moves == "answered":
            connection._last_action = connection.now
        else:
            connection.sent += 1
    assert not connection.lives(14.0)


@pytest.mark.parametrize("request_", [JOIN, SYNC])
def test_a_member_waits_for_the_others_of_its_group(request_: Any) -> None:
    assert Connection().asked(request_, HEARTBEAT).lives(100.0)


def test_records_have_the_time_that_their_followers_and_their_way_take() -> None:
    assert patience(appended(0)) == 20.0
    assert patience(appended(2_000_000)) == 30.0
    connection = Connection().asked(appended(2_000_000))
    assert connection.lives(30.0)
    assert not connection.lives(2.0)


def test_a_process_that_had_no_processor_has_not_listened_meanwhile() -> None:
    connection = Connection().asked(HEARTBEAT)
    assert connection.lives(100.0, step=25.0)
    assert not connection.lives(12.0)
