"""The reader of record batches against aiokafka's own, record by record, and the pitfalls of the format one by one."""

from __future__ import annotations

import struct

import pytest
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.transport import batch_scan
from streams.transport.record_batches import RecordBatchReader, warm
from tests.streams.transport.batches import (
    ABORT,
    CODECS,
    COMMIT,
    CONTROL,
    LOG_APPEND,
    TRANSACTIONAL,
    Record,
    aiokafka_reads,
    batch,
    built,
    encoded,
    marker,
    read,
    rows,
    sealed,
    with_crc,
)

content = st.none() | st.binary(max_size=12) | st.sampled_from([b"", b'{"sensor_id":"pump","value":1.5}' * 6])
header = st.tuples(st.text(max_size=4), st.none() | st.binary(max_size=4))
record = st.tuples(st.integers(0, 2**43), content, content, st.lists(header, max_size=2))


@st.composite
def logs(draw: st.DrawFn) -> bytes:
    """Batches by aiokafka's builder, of any codec, with gaps between them."""
    data, base = b"", draw(st.integers(0, 2**40))
    for records in draw(st.lists(st.lists(record, min_size=1, max_size=5), min_size=1, max_size=6)):
        data += built(records, base, codec=draw(st.sampled_from(list(CODECS.values()))))
        base += len(records) + draw(st.integers(0, 3))
    return data


@st.composite
def hand_made_logs(draw: st.DrawFn) -> bytes:
    """What no producer sends but a broker stores: holes, emptied batches, the broker's timestamps, timestamps that fall."""
    data, base = b"", draw(st.integers(0, 1000))
    for _ in range(draw(st.integers(1, 6))):
        deltas = sorted(draw(st.sets(st.integers(0, 12), max_size=6)))
        headers = st.lists(st.tuples(st.just(b"h"), content), max_size=1)
        time = st.integers(-(2**40), 2**40)
        records = [Record(delta, draw(content), draw(content), draw(time), draw(headers)) for delta in deltas]
        last = max([0, *deltas]) + draw(st.integers(0, 4))
        data += batch(
            records,
            base,
            codec=draw(st.sampled_from([0, 0, 0, 1, 2, 3, 4])) if records else 0,
            attributes=draw(st.sampled_from([0, LOG_APPEND, 0x40])),
            last_delta=last,
            first_timestamp=draw(st.integers(0, 2**43)),
        )
        base += last + 1
    return data


@given(logs() | hand_made_logs(), st.floats(0, 1), st.integers(-3, 40))
@settings(max_examples=300)
def test_every_fetch_reads_as_aiokafka_reads_it(data: bytes, cut: float, ahead: int) -> None:
    whole = data[: max(61, int(len(data) * cut))]
    base = struct.unpack_from(">q", data)[0]
    offset = max(0, base + ahead)
    assert read(whole, offset) == aiokafka_reads(whole, offset)


@st.composite
def transactions(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int]]]:
    """A log of three producers' transactions, some aborted, one perhaps open, records outside of transactions among them."""
    data, base, aborted = b"", 5, []
    began: dict[int, int] = {}
    for _ in range(draw(st.integers(1, 14))):
        producer = draw(st.integers(1, 3))
        what = draw(st.sampled_from(["write", "write", "plain", "commit", "abort"]))
        n = draw(st.integers(1, 3))
        records = [Record(i, b"%d" % (base + i), b"x" * draw(st.integers(0, 40))) for i in range(n)]
        codec = draw(st.sampled_from([0, 0, 3, 4]))
        if what == "write":
            began.setdefault(producer, base)
            data += batch(records, base, codec=codec, attributes=TRANSACTIONAL, producer=producer)
            base += n
        elif what == "plain":
            data += batch(records, base, codec=codec, producer=producer)
            base += n
        else:
            if what == "abort" and producer in began:
                aborted.append((producer, began[producer]))
            began.pop(producer, None)
            data += marker(base, producer, ABORT if what == "abort" else COMMIT)
            base += 1
    return data, aborted


@given(transactions(), st.booleans(), st.integers(0, 40), st.randoms())
@settings(max_examples=300)
def test_aborted_transactions_and_markers_are_passed_over_as_aiokafka_does(log, committed: bool, offset: int, random) -> None:
    data, aborted = log
    random.shuffle(aborted)
    reference = aiokafka_reads(data, offset, aborted=aborted, committed=committed)
    assert read(data, offset, aborted=aborted, committed=committed) == reference


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_a_large_fetch_reads_as_aiokafka_reads_it_at_any_offset(codec: int) -> None:
    def values(base: int, n: int) -> list[tuple[int, bytes, bytes, list[tuple[str, bytes]]]]:
        return [(1_700_000_000_000 + i, b"pump-%d" % (i % 7), b'{"sensor_id":"pump","value":%d}' % i, []) for i in range(base, base + n)]

    data, base = b"", 7
    for n in (1, 1, 1, 300, 2, 5, 1000, 1, 40):
        data += built(values(base, n), base, codec=codec)
        base += n
    big = built([(1, b"k", b"large " * 150_000, [])], base, codec=codec)
    for offset in (0, 7, 8, 9, 10, 150, 309, 310, 999, base, base + 1):
        assert read(data + big, offset) == aiokafka_reads(data + big, offset)


def test_batches_of_one_record_make_one_chunk() -> None:
    for codec in CODECS.values():
        data = b"".join(batch([Record(0, value=b"{}" * 50)], base, codec=codec) for base in range(500))
        assert len(list(RecordBatchReader("t", 0, data, 0).chunks())) == 1


def test_a_fetch_cut_off_anywhere_gives_its_whole_batches() -> None:
    data = batch([Record(0), Record(1)], 10) + batch([Record(0, headers=[(b"a", b"b")])], 12, codec=4) + batch([Record(0)], 13)
    for size in range(len(data) + 1):
        assert read(data[:size], 10) == aiokafka_reads(data[:size], 10)


def test_mixed_plain_and_compressed_batches_stay_in_order() -> None:
    data = b"".join(batch([Record(0, value=b"x" * 50), Record(1)], 2 * i, codec=[0, 0, 1, 0, 4, 2, 0, 3][i % 8]) for i in range(64))
    assert read(data, 3) == aiokafka_reads(data, 3)


def test_an_emptied_batch_moves_the_position_whatever_its_codec() -> None:
    for codec in CODECS.values():
        empty = batch([], 10, codec=codec, last_delta=4)
        assert read(empty, 10) == ([], 15)
        assert [offset for offset, *_ in read(empty + batch([Record(0)], 15), 12)[0]] == [15]
        bare = with_crc(empty[:61])
        assert read(bare, 10) == ([], 15)


def test_the_broker_s_time_is_the_batch_s_largest_and_the_record_s_own_is_a_sum() -> None:
    records = [Record(0, time=5), Record(1, time=-700)]
    own = batch(records, first_timestamp=1000, max_timestamp=9000)
    brokers = batch(records, attributes=LOG_APPEND, first_timestamp=1000, max_timestamp=9000)
    assert [shown[1] for shown in read(own)[0]] == [1005, 300]
    assert [shown[1] for shown in read(brokers)[0]] == [9000, 9000]


def test_headers_are_parsed_when_asked_for() -> None:
    data = batch([Record(0), Record(1, headers=[(b"origin", b"a/1"), (b"none", None), (b"empty", b""), (b"", b"x")]), Record(2)])
    (chunk,) = RecordBatchReader("t", 0, data, 0).chunks()
    assert list(chunk.headers(0)) == []
    assert chunk.headers(1) == (("origin", b"a/1"), ("none", None), ("empty", b""), ("", b"x"))
    assert list(chunk.headers(2)) == []


def test_an_unknown_codec_is_an_error_of_its_own() -> None:
    unknown = with_crc(bytes(bytearray(batch([Record(0)]))[:22]) + b"\x05" + batch([Record(0)])[23:])
    with pytest.raises(UnsupportedCodecError):
        read(unknown)


def test_checksums_are_only_held_against_the_bytes_if_wanted() -> None:
    data = bytearray(batch([Record(0, value=b"value")]))
    data[-2] ^= 1
    with pytest.raises(CorruptRecordException):
        read(bytes(data))
    assert read(bytes(data), check_crcs=False)[0][0][3] != b"value"


# The pitfalls of notes on record batches; those of the consumer (1, 2, 11, 12) are in test_fetcher_seam.py.


def test_pitfall_3_what_lies_before_a_corrupt_batch_is_delivered_and_the_next_fetch_raises() -> None:
    good, bad = batch([Record(0), Record(1)], 10), bytearray(batch([Record(0)], 12))
    bad[-1] ^= 1
    for codec in CODECS.values():
        good = batch([Record(0, value=b"a" * 100), Record(1)], 10, codec=codec)
        shown, following = read(good + bytes(bad) + good, 10)
        assert ([offset for offset, *_ in shown], following) == ([10, 11], 12)
    with pytest.raises(CorruptRecordException, match="source/3 at offset 12"):
        read(bytes(bad) + good, 12)


def test_pitfall_3_a_corrupt_compressed_batch_behind_compressed_ones() -> None:
    good, torn = batch([Record(0, value=b"a" * 100)], 10, codec=3), sealed(b"torn", 11, codec=3)
    not_lz4 = with_crc(batch([Record(0)], 11)[:22] + b"\x03" + batch([Record(0)], 11)[23:])
    for bad in (torn, not_lz4):
        shown, following = read(good + bad + good, 10)
        assert ([offset for offset, *_ in shown], following) == ([10], 11)
        with pytest.raises(CorruptRecordException):
            read(bad + good, 11)


def test_pitfall_4_the_position_also_moves_over_what_is_passed_over_and_never_back() -> None:
    reader = RecordBatchReader("t", 0, marker(10, 1, COMMIT) + batch([], 11, last_delta=4) + batch([Record(0)], 16), 10)
    assert reader.next_offset == 10
    (chunk,) = reader.chunks()
    assert (chunk.first, chunk.next, reader.next_offset, chunk.offsets.tolist()) == (10, 17, 17, [16])
    below = batch([Record(0)], 3) + batch([Record(0)], 4, codec=4) + marker(5, 1, COMMIT)
    assert read(below, 10) == ([], 10)
    shown, following = read(batch([Record(0)], 20) + batch([Record(0), Record(8)], 3) + batch([Record(0)], 21), 2)
    assert ([offset for offset, *_ in shown], following) == ([20, 21], 22)


def test_pitfall_5_whatever_a_bad_payload_raises_is_a_corrupt_record() -> None:
    for codec in (1, 2, 3, 4):
        for payload in (
            b"",
            b"\xff" * 40,
            b"\0" * 70,
            b"\x82SNAPPY\0\0\0\0\1\0\0\0\1\xff\xff\xff\xff",
            b"\x28\xb5\x2f\xfd",
            b"\x1f\x8b\x08",
        ):
            data = bytearray(sealed(b"", codec=0)) + payload
            data[22] = codec
            with pytest.raises(CorruptRecordException):
                read(with_crc(bytes(data)))


def test_pitfall_5_a_header_s_name_that_is_not_utf_8_keeps_its_bytes() -> None:
    data = batch([Record(0, headers=[(b"\xff\xfe", b"x")])])
    with pytest.raises(UnicodeDecodeError):
        aiokafka_reads(data)
    ((*_, headers),) = read(data)[0]
    assert headers[0][0].encode("utf-8", "surrogateescape") == b"\xff\xfe"


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", [0, 1, 2, 3])
def test_pitfall_6_old_messages_before_and_behind_new_batches(magic: int, codec: int) -> None:
    def old(base: int, n: int) -> bytes:
        builder = LegacyRecordBatchBuilder(magic, codec, 1 << 20)
        for i in range(n):
            builder.append(i, timestamp=1000 + i, key=None if i % 2 else b"k", value=b"old %d" % i * 9)
        message = bytearray(builder.build())
        at = 0
        while at < len(message):  # the broker's doing: absolute offsets; of a compressed message that of its last
            relative, length = struct.unpack_from(">qi", message, at)
            struct.pack_into(">q", message, at, base + (n - 1 if codec else relative))
            at += 12 + length
        return bytes(message)

    if magic == 0 and codec:
        return  # its offsets are absolute, which the builder does not write; aiokafka's iterator reads them as ours hands them on
    new = batch([Record(0), Record(1)], 5)
    mixed = old(0, 5) + new + old(7, 3) + new[:30]
    expected = aiokafka_reads(old(0, 5))[0] + aiokafka_reads(new, 5)[0] + aiokafka_reads(old(7, 3), 7)[0]
    assert read(mixed) == (expected, 10)
    assert read(mixed, 3) == (expected[3:], 10)
    assert read(new + old(7, 3), 6) == (expected[6:], 10)
    broken = bytearray(old(7, 3))
    broken[-1] ^= 1  # of the last message, or of the one that holds all three
    sound = 7 if codec else 9
    assert read(new + bytes(broken), 5) == (expected[5:sound], sound)
    with pytest.raises(CorruptRecordException):
        read(bytes(broken), sound)


def test_pitfall_7_all_that_is_read_compiles_one_signature() -> None:
    warm()
    for codec in CODECS.values():
        read(batch([Record(0)], codec=codec), committed=True, aborted=[(1, 0)])
    assert len(batch_scan.walk.signatures) == 1


def corrupted() -> dict[str, bytes]:
    """Batches with a right checksum and one bound broken each."""
    one = b"\0" + b"\0" * 2 + b"\x02k" + b"\x02v" + b"\0"
    second = one[:2] + b"\x02" + one[3:]

    def body(content: bytes, **header: int) -> bytes:
        return sealed(varint_of(len(content)) + content, **header)

    def varint_of(value: int) -> bytes:
        return bytes([value << 1])

    return {
        "a varint that never ends": sealed(b"\xff" * 30),
        "a varint of eleven bytes": body(b"\0" + b"\x80" * 10 + b"\0" + one[2:]),
        "a varint that overflows": body(b"\0" + b"\x80" * 9 + b"\x02" + one[2:]),
        "a record longer than its batch": sealed(b"\x7e" + one),
        "a record of negative length": sealed(b"\x03" + one),
        "a record too short to be one": sealed(b"\x08\0\0\0\1"),
        "an offset below the base": body(b"\0\0\1" + one[3:]),
        "an offset above the last": body(b"\0\0\x02" + one[3:]),
        "offsets that stand still": sealed((varint_of(len(one)) + one) * 2, count=2, last_delta=1),
        "a key longer than its record": body(b"\0\0\0\x7ek\x02v\0"),
        "a value longer than its record": body(b"\0\0\0\x02k\x7ev\0"),
        "more headers than bytes": body(one[:-1] + b"\x7e"),
        "headers of a negative count": body(one[:-1] + b"\1"),
        "a header without a name": body(one[:-1] + b"\x02\1\0"),
        "attributes of two bytes": body(b"\x80" + one[1:]),
        "a record of no bytes at the end": sealed(encoded(Record(0, value=b"long enough")) + b"\0", count=2, last_delta=1),
        "bytes behind a record": body(one + b"\0"),
        "a record that holds the next": sealed(varint_of(2 * len(one) + 1) + one + varint_of(len(one)) + second, count=2, last_delta=1),
        "bytes behind the records": sealed(varint_of(len(one)) + one + b"\0"),
        "fewer records than counted": sealed(varint_of(len(one)) + one, count=2, last_delta=1),
        "more records than bytes": sealed(varint_of(len(one)) + one, count=2**31 - 1, last_delta=2**31 - 1),
        "a negative count": sealed(varint_of(len(one)) + one, count=-1),
        "a negative base": sealed(varint_of(len(one)) + one, base=-5),
        "a base beyond all offsets": sealed(varint_of(len(one)) + one, base=2**63 - 1),
        "a negative last offset": sealed(b"", count=0, last_delta=-1),
        "a length of nothing": b"\0" * 61,
        "a negative length": b"\0" * 8 + b"\xff" * 53,
        "a format of the future": with_crc(sealed(varint_of(len(one)) + one)[:16] + b"\x03" + sealed(varint_of(len(one)) + one)[17:]),
    }


@pytest.mark.parametrize("name", corrupted())
def test_pitfall_8_a_broken_bound_is_refused(name: str) -> None:
    bad = corrupted()[name]
    with pytest.raises(CorruptRecordException):
        read(bad)
    good = batch([Record(0)], 0)
    assert read(good + bad) == aiokafka_reads(good)


def test_pitfall_8_a_bound_broken_inside_compressed_records_is_refused() -> None:
    for name, bad in corrupted().items():
        if len(bad) > 61 and bad[16] == 2:
            count, last, base = struct.unpack(">i", bad[57:61])[0], struct.unpack(">i", bad[23:27])[0], struct.unpack(">q", bad[:8])[0]
            with pytest.raises(CorruptRecordException):
                pytest.fail(f"{name}: {read(sealed(bad[61:], base=base, codec=4, count=count, last_delta=last))}")


def test_pitfall_8_markers_are_held_against_their_bounds_too() -> None:
    short, null = (batch([Record(0, key=key)], 0, attributes=CONTROL | TRANSACTIONAL, producer=1) for key in (b"\0\0\0", None))
    for bad in (short, null, sealed(b"\xff" * 9, attributes=CONTROL, count=1), sealed(b"", attributes=CONTROL, count=2**30)):
        with pytest.raises(CorruptRecordException):
            read(bad, committed=True)
        assert read(bad) == ([], 1)  # read uncommitted, nobody looks into a marker
    assert read(sealed(b"", attributes=CONTROL, count=0, last_delta=3), committed=True) == ([], 4)


def test_pitfall_10_what_is_left_of_a_trimmed_batch_does_not_hold_the_rest_of_it() -> None:
    data = batch([Record(i, value=b"x" * 100, headers=[(b"h", b"%d" % i)]) for i in range(1000)])
    (chunk,) = RecordBatchReader("t", 0, data, 990).chunks()
    assert rows(chunk) == aiokafka_reads(data, 990)[0]
    assert len(chunk.buffer) < 2000
    assert chunk.offsets.base is not None
    assert chunk.offsets.base.nbytes < 1000


def test_pitfall_10_the_first_record_s_time_is_a_sum_too() -> None:
    assert read(batch([Record(0, time=77)], first_timestamp=1000))[0][0][1] == 1077


def test_pitfall_13_what_does_not_compress_is_read_as_it_was_sent() -> None:
    noise = bytes(range(256))
    for codec in (1, 2, 3, 4):
        data = built([(1, b"k", noise, [])], 0, codec=codec) + batch([Record(0, value=noise)], 1, codec=codec)
        assert read(data) == aiokafka_reads(data)
