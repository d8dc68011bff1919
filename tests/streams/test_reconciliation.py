from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from config.load import load
from streams.configured import definition
from streams.partition import Counts, run
from streams.reconciliation import Account, count, credit
from tests.streams.chunks import chunk_of, record

SETTINGS = load()
SENSORS = definition("sensors", SETTINGS)
KINDS = {
    "reading": record("s", sensor_id="s", at=1_700_000_000, value=1.0),
    "late": record("s", sensor_id="s", at=1_600_000_000, value=1.0),
    "frame": record("s", sensor_id="s", at=1_700_000_000, step=1.0, values=[1.0, 2.0, 3.0]),
    "spoilt frame": record("s", sensor_id="s", at=1_700_000_000, step=1.0, values=[1.0, 1e300, 3.0, 1e300]),
    "refused frame": record("s", sensor_id="s", at=1_700_000_000, values=[1.0, 2.0]),
    "rubbish": (b"s", b"{"),
    "tombstone": (b"s", None),
}


async def chunks_of(records):
    yield chunk_of(records[: len(records) // 2], first=100)
    yield chunk_of(records[len(records) // 2 :], first=100 + len(records) // 2)


def folded(records):
    """What a fold of these records counts, and the letters that it leads to, the first of them twice as after a crash."""
    part = SENSORS.partition(3)
    part.first, part.topic = 100, "source"
    chunk = chunk_of(records)
    decoded = SENSORS.decode(chunk)
    run(part.fold(decoded.columns, decoded.origins, chunk.next))
    return part, [letter.headers() for letter in [*decoded.dead[:1], *decoded.dead]]


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=30))
def test_every_reading_is_somewhere(kinds):
    records = [KINDS[kind] for kind in kinds]
    part, letters = folded(records)
    account = Account("sensors", 3, part.first, 0, part.next, part.counts)
    asyncio.run(count(account, chunks_of(records), SENSORS.decode))
    credit([account], {"sensors": "source"}, [*letters, [("other", b"1")], [("nilometer-topic", b"source"), ("nilometer-partition", b"x")]])
    came = sum({"frame": 3, "spoilt frame": 4}.get(kind, 1) for kind in kinds)
    counts = account.counts
    assert account.came == came
    assert account.difference == 0
    assert came == account.judged + counts.not_ready + counts.late + account.repeated + account.passed + account.letters


def test_what_is_missing_is_said():
    records = [KINDS["frame"], KINDS["rubbish"], KINDS["reading"]]
    part, letters = folded(records)
    lost = Account("sensors", 3, 100, 100, part.next, Counts(events=part.counts.events - 1))
    asyncio.run(count(lost, chunks_of(records), SENSORS.decode))
    assert lost.difference == 1 + 1
    credit([lost], {"sensors": "source"}, letters)
    assert lost.difference == 1


def test_letters_of_what_no_checkpoint_holds_yet_do_not_count():
    part, letters = folded([KINDS["rubbish"], KINDS["rubbish"]])
    account = Account("sensors", 3, 100, 100, 101, part.counts)
    credit([account], {"sensors": "source"}, letters)
    assert account.letters == 1


def test_a_log_that_does_not_go_back_to_where_the_fold_began_cannot_be_held_against_it():
    assert Account("sensors", 3, 100, 101, 200, Counts()).difference is None
