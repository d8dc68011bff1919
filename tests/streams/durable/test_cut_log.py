from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.durable.cut_log import Adoption, Begin, CutReader, Generation, decode, encode
from streams.durable.parked import Cause, Dead, Parked
from tests.streams.apps import embedded
from tests.streams.durable.test_checkpoints import begun, checkpoint, scenario
from tests.streams.stores import CUTS, SOURCE, Listed, Member, tenure_of


def counting(records, reader=None):
    """The places of the records that count."""
    reader = reader or CutReader()
    return [offset for offset, record in enumerate(records) if reader.read(offset, record)]


def b(generation, epoch=0):
    return Begin(Generation(epoch, generation), 0)


def c(generation, number, n=0, epoch=0):
    return Adoption(Generation(epoch, generation), number, n, {})


def test_a_begin_counts_if_its_generation_is_above_the_one_in_force():
    assert counting([b(1), b(3), b(2), b(3), b(4)]) == [0, 1, 4]


def test_a_cut_counts_if_its_generation_is_in_force_at_its_place():
    assert counting([c(1, 1), b(1), c(1, 1), b(2), c(1, 2), c(2, 1)]) == [1, 2, 3, 5]


def test_a_cut_that_was_sent_twice_counts_once():
    assert counting([b(1), b(1), c(1, 1), c(1, 1), c(1, 2)]) == [0, 2, 4]


def test_an_epoch_stands_before_the_generations():
    assert counting([b(57), b(1), b(0, epoch=1), c(57, 1), b(1, epoch=1), c(1, 1, epoch=1)]) == [0, 2, 4, 5]


@given(st.lists(st.one_of(st.builds(b, st.integers(1, 4)), st.builds(c, st.integers(1, 4), st.integers(1, 3))), max_size=12), st.data())
def test_who_stops_reading_and_goes_on_later_reads_the_same(records, data):
    stop = data.draw(st.integers(0, len(records)))
    first = CutReader()
    head = counting(records[:stop], first)
    second = CutReader.at(first.position)
    tail = [offset for offset in range(stop, len(records)) if second.read(offset, records[offset])]
    assert head + tail == counting(records)


def test_records_are_lines_of_json_that_a_person_can_read():
    assert encode(Begin(Generation(0, 5), 120)) == b'{"kind":"begin","generation":[0,5],"end":120}'
    record = Adoption(Generation(0, 5), 1, 130, {"population": {"n": 3}})
    assert decode(encode(record)) == record
    with pytest.raises(Parked, match="cannot be read"):
        decode(b'{"kind":"merge"}')


def test_a_cut_is_written_then_read_back_then_applied():
    async def work(broker):
        tenure = await begun(Member(broker))
        tenure.part.fold(3)
        cut = await tenure.adopt({"x": 1})
        assert cut.n == 3
        tenure.part.fold(5)
        assert tenure.part.seen == ["event 0", "event 1", "event 2", "cut 1 before 3", "event 3", "event 4"]
        return [decode(record.value) for record in broker.read(*CUTS)]

    first, second = scenario(work)
    assert first == Begin(Generation(0, 1), 0)  # nobody has said anything before: end = 0
    assert second == Adoption(Generation(0, 1), 1, 3, {"x": 1})


def test_the_next_owner_meets_every_cut_before_the_same_event():
    async def work(broker):
        member = Member(broker)
        first = await begun(member)
        await checkpoint(first, 2)
        for upto, x in ((4, 1), (4, 2), (7, 3)):
            first.part.fold(upto)
            await first.adopt({"x": x})
        first.part.fold(9)
        member.leave()
        second = await begun(Member(broker))
        assert second.part.next == 2
        while second.part.next < 9:
            upto = second.boundary()
            second.part.fold(9 if upto is None else min(upto, 9))
        assert second.part.seen == first.part.seen

    scenario(work)


def test_a_checkpoint_holds_the_cuts_before_it_and_none_that_are_still_to_come():
    async def work(broker):
        member = Member(broker)
        first = await begun(member)
        first.part.fold(4)
        await first.adopt({"x": 1})
        await checkpoint(first, 4)  # behind the cut, at the same offset
        first.part.fold(8)
        await first.adopt({"x": 2})
        member.leave()
        second = await begun(member_two := Member(broker))
        second.boundary()
        assert second.part.seen[-1] == "cut 1 before 4"
        await checkpoint(second, 6)  # before the second cut, which it knows already
        member_two.leave()
        third = await begun(Member(broker))
        assert third.boundary() == 8
        third.part.fold(8)
        third.boundary()
        assert third.part.seen[-1] == "cut 2 before 8"

    scenario(work)


def test_a_new_owner_may_not_adopt_before_what_an_old_one_may_have_judged():
    async def work(broker):
        member = Member(broker)
        await checkpoint(await begun(member), 5)
        member.leave()
        tenure = await begun(Member(broker))
        assert tenure.cuts.end == 20
        tenure.part.fold(19)
        assert not tenure.may_adopt
        with pytest.raises(Dead, match="cut before 19 cannot be made"):
            await tenure.adopt({"x": 1})
        other = await begun(Member(broker))
        other.part.fold(20)
        assert other.may_adopt

    scenario(work)


def test_an_owner_that_finds_a_later_begin_is_dead_and_its_cut_does_not_count():
    async def work(broker):
        old = await begun(Member(broker))
        new = await begun(Member(broker))
        with pytest.raises(Dead, match="has begun"):
            await old.adopt({"x": 1})
        assert not old.alive
        await new.cuts.catch_up()
        assert not new.cuts.pending

    scenario(work)


def test_an_owner_whose_begin_comes_too_late_is_dead_before_it_folds():
    async def work(broker):
        late = Member(broker)
        generation = late.group.generation
        await begun(Member(broker))
        with pytest.raises(Dead):
            await tenure_of(late).restore(generation)

    scenario(work)


def test_a_cut_log_that_has_lost_its_beginning_parks_the_partition():
    async def work(broker):
        member = Member(broker)
        tenure = await begun(member)
        await checkpoint(tenure, 5)
        await tenure.adopt({"x": 1})
        broker.delete_before(*CUTS, 2)
        member.leave()
        with pytest.raises(Parked, match=r"begins at 2.* needs it from [01]") as problem:
            await begun(Member(broker))
        assert problem.value.cause == Cause.CUTS

    scenario(work)


def test_after_a_deleted_group_a_raised_epoch_lets_owners_begin_again():
    async def work():
        with embedded(source=1, states=1, cuts=1) as broker:
            broker.produce("source", None, b"0")
            for _ in range(3):
                await begun(Member(broker))
            del broker.groups["group"]
            with pytest.raises(Parked, match="state reset"):
                await begun(Member(broker))
            broker.produce("cuts", None, encode(Begin(Generation(1, 0), 1)), partition=0)
            broker.delete_before("states", 0, broker.end_offset("states", 0))
            tenure = await begun(Member(broker), Listed())
            assert tenure.cuts.mine == Generation(1, 2)
            assert tenure.part.next == broker.begin_offset(*SOURCE)

    asyncio.run(work())
