"""The short form: every decoder by mutation, and the four streams' by records that hypothesis makes up field by field."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache

import pytest
from aiokafka.errors import KafkaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state import snapshot
from streams import cuts
from streams.agents import limits
from streams.decoding import amounts
from streams.decoding.refusals import Refused
from streams.durable import cut_log
from streams.durable.manifest import Shelf
from streams.durable.parked import Parked
from streams.durable.store import Stored
from streams.errors import UserError
from streams.records import DECODERS
from streams.relay import alert
from streams.savepoints import savepoint
from streams.transport.log import Record as LogRecord
from tests.fuzz.campaign import feed
from tests.fuzz.mutations import STRANGE
from tests.fuzz.samples import ALERT, EVENTS
from tests.fuzz.targets import Target, all_targets
from tests.streams.chunks import STAMP, chunk_of
from tests.streams.transport import batches

INPUTS = 250  # of each decoder
NAMES = [
    "sensors", "cards", "employees", "errors", "avro", "card.labels", "alert.labels", "employee.limits", "cut log", "cuts file", "snapshot",
    "checkpoint", "savepoint", "record batches", "dead letters", "alerts", "configuration",
]  # fmt: skip
FIELDS = {stream: sorted({name for sound in EVENTS[stream] for name in json.loads(sound)}) for stream in EVENTS}


@cache
def targets() -> dict[str, Target]:
    return {target.name: target for target in all_targets()}


def test_every_decoder_is_here():
    assert list(targets()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_whatever_stands_there_is_read_or_refused(name):
    result = feed(targets()[name], seed=9, goes_on=lambda inputs: inputs < INPUTS)
    assert not result.findings, next(iter(result.findings.values()))[1]


VALUES = st.one_of(
    st.sampled_from(STRANGE),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=20),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.lists(st.floats(), max_size=30),
)


@pytest.mark.parametrize("stream", EVENTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_record_of_strange_values_is_folded_or_a_letter_and_harms_no_other(stream, data):
    names = FIELDS[stream]
    sound = json.loads(data.draw(st.sampled_from(EVENTS[stream])))
    record = sound | data.draw(st.dictionaries(st.sampled_from(names), VALUES, max_size=3))
    for name in data.draw(st.lists(st.sampled_from(names), max_size=1)):
        record.pop(name, None)
    targets()[stream].feed(json.dumps(record, ensure_ascii=data.draw(st.booleans())).encode("utf-8", "surrogatepass"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            batches.Record,
            delta=st.integers(-(2**31), 2**31 - 1),
            key=st.none() | st.binary(max_size=5),
            value=st.none() | st.binary(max_size=20),
            time=st.integers(-(2**62), 2**62),
            headers=st.lists(st.tuples(st.binary(max_size=3), st.none() | st.binary(max_size=3)), max_size=2),
        ),
        max_size=4,
    ),
    st.integers(0, 2**63 - 1),
    st.integers(0, 4),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
)
def test_a_batch_of_strange_numbers_is_read_as_a_whole_or_refused(records, base, codec, count, last):
    for data in (
        batches.batch(records, base, codec=codec, count=count, last_delta=last),
        batches.batch(records, base, codec=codec, last_delta=last),
    ):
        try:
            shown, following = batches.read(data, 0)
        except KafkaError:
            continue
        assert [row[0] for row in shown] == sorted({row[0] for row in shown})
        assert len(shown) <= len(records)
        assert following >= 0


# What the fuzz has found, each by name.


@pytest.mark.parametrize("stream", EVENTS)
def test_half_a_surrogate_pair_for_a_time_is_a_letter(stream):
    bad = json.dumps(json.loads(EVENTS[stream][0]) | {"at": "\ud800"}).encode()
    decoded = DECODERS[stream](chunk_of([(b"k", bad)]), targets()[stream].feed.settings)  # type: ignore[attr-defined]
    (letter,) = decoded.dead
    assert letter.reason.startswith("at = ")


def test_an_amount_whose_exponent_no_decimal_can_hold_is_refused():
    for text in ("1e+" + "3" * 30, "-1E-" + "9" * 60, "1e99999999999999999999"):
        with pytest.raises(Refused, match="amount = "):
            amounts.exact(text, 2, "amount")
    bad = b'{"card_id":"k","transaction_id":"t","at":1000,"amount":1e%s}' % (b"3" * 30)
    (letter,) = DECODERS["cards"](chunk_of([(b"k", bad)]), targets()["cards"].feed.settings).dead  # type: ignore[attr-defined]
    assert "beyond what a decimal number can hold" in letter.reason
    with pytest.raises(ValueError, match="limit = "):
        limits.waiting("e", b'{"limit": 1e%s}' % (b"3" * 30), 0, 2)
    assert amounts.exact("1e3", 2, "amount") == Decimal("1e5")


def test_bytes_that_are_no_utf8_are_refused_in_words_wherever_json_is_read():
    with pytest.raises(Parked, match="cannot be read"):
        cut_log.decode(b'{"kind":"begi\xff","generation":[0,3],"end":7}')
    with pytest.raises(cuts.CutError, match="line 1"):
        cuts.load([b'{"partition":0,"n":1,"inputs":{"\xff":1}}'])
    assert Shelf([Stored(0, b"t/0/m", b'{"format":1,"digest":"\xff"}')]).manifest("t/0") is None
    with pytest.raises(ValueError, match="no alert"):
        alert.read(LogRecord("alerts.cards", 0, 0, STAMP, b"k", ALERT.replace(b'"a": 1', b'"\xff": 1'), ()))
    assert alert.read(LogRecord("alerts.cards", 0, 0, STAMP, b"k", ALERT, ())).data.key == "c"


@pytest.mark.parametrize(("length", "partitions"), [(2**63, 1), (-1, 1), (2**62, 1), (3, 2**62), (3, -1)])
def test_a_savepoint_that_names_more_than_the_file_holds_is_refused_before_it_is_read(tmp_path, length, partitions):
    file = tmp_path / "savepoint"
    about = {"stream": "cards", "topic": "t", "build": "b", "made": "m", "partitions": partitions, "signatures": {}}
    part = {"partition": 0, "offset": 1, "cuts": None, "checkpoint": "c", "length": length, "bytes": 1, "digest": "d"}
    line = json.dumps(about | {"parts": [part]}).encode()
    file.write_bytes(f"nilometer savepoint 1 {snapshot.digest(line)}\n".encode() + line + b"\nabc")
    with pytest.raises(UserError, match=r"cut off|not every partition"):
        savepoint.read(file)
