from __future__ import annotations

import asyncio

import msgspec
import pytest

from streams.durable.manifest import MANIFEST, Manifest, Shelf, chunk_key
from streams.durable.parked import Cause, Dead, Parked
from streams.durable.store import Committed, Stored
from streams.durable.tenure import Tenure
from tests.streams.apps import embedded
from tests.streams.stores import SOURCE, STATES, Listed, Member, tenure_of


def scenario(work):
    """Run `work(broker)` on a broker with a source of twenty events."""

    async def whole():
        with embedded(source=1, states=1, cuts=1) as broker:
            for n in range(20):
                broker.produce("source", None, b"%d" % n)
            return await work(broker)

    return asyncio.run(whole())


async def begun(member: Member, fold: Listed | None = None, **more) -> Tenure:
    tenure = tenure_of(member, fold, **more)
    await tenure.restore(member.group.generation)
    return tenure


async def checkpoint(tenure: Tenure, upto: int) -> str:
    tenure.part.fold(upto)
    await tenure.write(await tenure.freeze())
    return tenure.checkpoints.current


def shelf(broker) -> Shelf:
    return Shelf(Stored(r.offset, r.key, r.value) for r in broker.read(*STATES))


def test_what_one_owner_has_checkpointed_the_next_goes_on_from():
    async def work(broker):
        first = await begun(Member(broker))
        await checkpoint(first, 7)
        first.checkpoints.store.leave()
        second = await begun(Member(broker))
        assert second.part.next == 7
        assert second.part.seen == first.part.seen

    scenario(work)


def test_the_very_first_checkpoint_is_committed_before_anything_is_folded():
    async def work(broker):
        broker.delete_before(*SOURCE, 5)
        tenure = await begun(Member(broker))
        assert tenure.part.next == 5
        assert tenure.checkpoints.store.group.positions[SOURCE] == Committed(5, tenure.checkpoints.current)

    scenario(work)


def test_a_large_state_goes_in_chunks_that_a_broker_takes():
    async def work(broker):
        tenure = await begun(Member(broker), Listed(size=2_500_000))
        name = await checkpoint(tenure, 3)
        parts = shelf(broker).parts[name]
        assert sorted(parts) == ["0", "1", "2", MANIFEST]
        assert max(len(value) for value in parts.values()) <= 900_000
        tenure.checkpoints.store.leave()
        assert (await begun(Member(broker))).part.next == 3

    scenario(work)


def test_the_current_checkpoint_and_the_one_before_it_are_kept_and_older_ones_get_tombstones():
    async def work(broker):
        tenure = await begun(Member(broker))
        names = [await checkpoint(tenure, upto) for upto in (3, 6, 9, 12)]
        assert set(shelf(broker).parts) == set(names[-2:])

    scenario(work)


def test_what_a_crashed_owner_left_half_written_is_swept_by_the_next():
    async def work(broker):
        member = Member(broker)
        tenure = await begun(member)
        await checkpoint(tenure, 3)
        member.fails = [f"/{MANIFEST}"]
        with pytest.raises(TimeoutError):
            await checkpoint(tenure, 6)
        assert len(shelf(broker).parts) == 3
        member.leave()
        name = await checkpoint(await begun(Member(broker)), 8)
        assert name in shelf(broker).parts
        assert len(shelf(broker).parts) == 2

    scenario(work)


def test_a_checkpoint_that_failed_changes_nothing_and_the_next_one_counts():
    async def work(broker):
        member = Member(broker)
        tenure = await begun(member)
        name = await checkpoint(tenure, 3)
        member.fails = ["/0"]
        with pytest.raises(TimeoutError):
            await checkpoint(tenure, 6)
        assert tenure.alive
        assert member.group.positions[SOURCE] == Committed(3, name)
        member.fails = []
        assert await checkpoint(tenure, 9) == member.group.positions[SOURCE].metadata

    scenario(work)


def test_the_commit_of_an_old_owner_is_refused_and_its_fold_is_dead():
    async def work(broker):
        old = await begun(Member(broker))
        await checkpoint(old, 5)
        new = await begun(Member(broker))
        await checkpoint(new, 9)
        with pytest.raises(Dead):
            await checkpoint(old, 12)
        assert not old.alive
        assert new.checkpoints.store.group.positions[SOURCE].metadata == new.checkpoints.current

    scenario(work)


def test_an_output_that_was_not_delivered_kills_the_fold_so_that_it_is_said_again():
    async def work(broker):
        tenure = await begun(Member(broker))
        lost = asyncio.get_running_loop().create_future()
        lost.set_exception(TimeoutError("an alert"))
        tenure.outputs.append(lost)
        with pytest.raises(Dead, match="an alert"):
            await checkpoint(tenure, 5)
        assert tenure.checkpoints.store.group.positions[SOURCE].offset == 0

    scenario(work)


def test_an_owner_keeps_its_memory_in_a_new_generation_and_not_when_another_had_the_partition():
    async def work(broker):
        member = Member(broker)
        tenure = await begun(member)
        await checkpoint(tenure, 5)
        tenure.part.fold(8)
        assert await tenure.keep(member.join())
        assert tenure.part.next == 8
        assert tenure.alive

        other = await begun(Member(broker))
        assert other.part.next == 5
        assert not await tenure.keep(member.join())
        assert not tenure.alive

    scenario(work)


def test_a_batch_that_was_broken_off_is_in_no_checkpoint():
    async def work(broker):
        tenure = await begun(Member(broker))
        name = await checkpoint(tenure, 5)
        tenure.settled = False
        tenure.part.fold(8)
        with pytest.raises(Dead, match="broken off"):
            await tenure.freeze()
        assert not tenure.alive
        assert tenure.checkpoints.store.group.positions[SOURCE] == Committed(5, name)

    scenario(work)


def test_a_fold_that_stands_still_for_a_checkpoint_says_so():
    async def work(broker):
        tenure = await begun(Member(broker))
        said = []

        async def offload(work, *arguments):
            said.append(tenure.freezing)
            return work(*arguments)

        tenure.checkpoints.offload = offload
        await checkpoint(tenure, 5)
        assert said[0]
        assert not any(said[1:])
        assert not tenure.freezing

    scenario(work)


def test_a_checkpoint_is_sent_at_its_pace_and_a_fold_that_dies_meanwhile_sends_no_more():
    async def work(broker):
        tenure = await begun(Member(broker), Listed(size=2_500_000))
        asked = []

        async def pause(size):
            asked.append(size)
            if len(asked) == 6:
                tenure.kill("the partition is another's")

        tenure.checkpoints.pause = pause
        name = await checkpoint(tenure, 3)
        assert asked == [len(shelf(broker).parts[name][part]) for part in ("0", "1", "2", MANIFEST)]
        with pytest.raises(Dead):
            await checkpoint(tenure, 6)
        assert [len(parts) for parts in shelf(broker).parts.values()][1:] == [4, 1]

    scenario(work)


def test_memory_is_not_kept_where_a_batch_was_under_way():
    async def work(broker):
        member = Member(broker)
        tenure = await begun(member)
        tenure.settled = False
        assert not await tenure.keep(member.join())

    scenario(work)


def damage(broker, name, part):
    """A record under a key of a checkpoint, with another value or none."""
    value = shelf(broker).parts[name][part]
    broker.produce("states", chunk_key(name, part), value[:-3] + b"xyz")


@pytest.mark.parametrize("part", ["0", MANIFEST])
@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_where_the_current_checkpoint_is_unreadable_the_one_before_it_is_taken(part, how):
    async def work(broker):
        member = Member(broker)
        tenure = await begun(member)
        await checkpoint(tenure, 4)
        name = await checkpoint(tenure, 9)
        if how == "gone":
            broker.produce("states", chunk_key(name, part), None)
        else:
            damage(broker, name, part)
        member.leave()
        heir = await begun(Member(broker))
        assert heir.part.next == 4
        before = heir.checkpoints.current
        await checkpoint(heir, 11)
        assert set(shelf(broker).parts) == {before, heir.checkpoints.current}

    scenario(work)


def test_where_the_one_before_is_not_in_the_source_any_more_the_partition_is_parked():
    async def work(broker):
        member = Member(broker)
        tenure = await begun(member)
        await checkpoint(tenure, 4)
        name = await checkpoint(tenure, 9)
        damage(broker, name, "0")
        broker.delete_before(*SOURCE, 6)
        member.leave()
        return await parked(broker)

    problem = scenario(work)
    assert problem.cause == Cause.SOURCE
    assert "stands at offset 4, the source holds 6 to 20" in str(problem)
    assert "cannot be read" in str(problem)


async def parked(broker, **more) -> Parked:
    """What a next owner says."""
    with pytest.raises(Parked) as problem:
        await begun(Member(broker), **more)
    assert "nilometer state reset" in str(problem.value) or "build" in str(problem.value)
    return problem.value


async def left_at(broker, upto: int = 9) -> str:
    """A checkpoint of an owner that has left."""
    member = Member(broker)
    tenure = await begun(member)
    await checkpoint(tenure, 4)
    name = await checkpoint(tenure, upto)
    member.leave()
    return name


def test_an_offset_without_a_name_parks_the_partition():
    async def work(broker):
        await left_at(broker)
        broker.group("group").positions[SOURCE] = Committed(2, "")
        return await parked(broker)

    problem = scenario(work)
    assert problem.cause == Cause.MOVED
    assert "offset 2" in str(problem)


def test_a_group_that_was_deleted_is_no_reason_to_begin_anew():
    async def work(broker):
        await left_at(broker)
        del broker.group("group").positions[SOURCE]
        return await parked(broker)

    assert scenario(work).cause == Cause.GROUP_LOST


def test_a_group_that_was_deleted_is_noticed_by_the_cut_log_alone():
    async def work(broker):
        await left_at(broker)
        del broker.group("group").positions[SOURCE]
        broker.delete_before(*STATES, broker.end_offset(*STATES))
        return await parked(broker)

    assert scenario(work).cause == Cause.GROUP_LOST


def test_another_number_of_partitions_parks_the_partition():
    async def work(broker):
        await left_at(broker)
        return await parked(broker, partitions=4)

    problem = scenario(work)
    assert problem.cause == Cause.PARTITIONS
    assert "1 partitions, now it has 4" in str(problem)


def test_other_signatures_park_the_partition_and_both_are_named():
    async def work(broker):
        await left_at(broker)
        return await parked(broker, signature="length=80")

    problem = scenario(work)
    assert problem.cause == Cause.SIGNATURE
    assert "length=75" in str(problem)
    assert "length=80" in str(problem)


def test_a_newer_format_parks_the_partition():
    async def work(broker):
        name = await left_at(broker)
        manifest = msgspec.json.decode(shelf(broker).parts[name][MANIFEST], type=Manifest)
        broker.produce("states", chunk_key(name, MANIFEST), msgspec.json.encode(msgspec.structs.replace(manifest, format=99)))
        return await parked(broker)

    problem = scenario(work)
    assert problem.cause == Cause.FORMAT
    assert "format 99" in str(problem)


@pytest.mark.parametrize("held", ["later", "earlier"])
def test_a_source_that_does_not_hold_the_offset_parks_the_partition(held):
    async def work(broker):
        await left_at(broker)
        if held == "later":
            broker.delete_before(*SOURCE, 12)
        else:  # made anew, with fewer events
            broker.topics["source"].logs[0].__init__("source", 0)
        return await parked(broker)

    assert scenario(work).cause == Cause.SOURCE


def test_nothing_readable_at_all_parks_the_partition():
    async def work(broker):
        await left_at(broker)
        broker.delete_before(*STATES, broker.end_offset(*STATES))
        return await parked(broker)

    assert scenario(work).cause == Cause.UNREADABLE


def test_an_owner_that_comes_too_late_is_dead_and_says_nothing_of_parking():
    async def work(broker):
        late = Member(broker)
        generation = late.group.generation
        await left_at(broker)  # in a later generation, which is over
        tenure = tenure_of(late)
        with pytest.raises(Dead):
            await tenure.restore(generation)

    scenario(work)
