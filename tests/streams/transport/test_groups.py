from __future__ import annotations

import pytest
from aiokafka.errors import IllegalGenerationError, UnknownMemberIdError

from streams.transport.groups import Committed, Group


class Person:
    """A member that answers every call by joining, unless told to sleep."""

    def __init__(self, group: Group) -> None:
        self.group, self.calls, self.joined, self.name = group, 0, [], ""
        self.name = group.enter(self.called)

    def called(self) -> None:
        self.calls += 1

    def join(self) -> None:
        self.group.join(self.name, self.name, lambda members: {name: sorted(members) for name in members}, self.joined.append)


def test_a_group_waits_until_every_member_has_joined():
    group = Group("g")
    first, second = Person(group), Person(group)

    first.join()
    assert not first.joined
    second.join()

    assert first.joined == second.joined == [(1, [first.name, second.name])]


def test_a_newcomer_calls_the_others_together_and_the_generation_goes_up():
    group = Group("g")
    first = Person(group)
    first.join()
    second = Person(group)

    assert (first.calls, second.calls) == (2, 1)
    second.join()
    assert group.generation == 1
    first.join()

    assert first.joined[-1] == second.joined[-1] == (2, [first.name, second.name])


def test_who_was_called_is_not_called_again_before_it_has_joined():
    group = Group("g")
    first = Person(group)
    first.join()
    second = Person(group)
    second.join()
    third = Person(group)
    third.join()

    assert first.calls == 2
    first.join()

    assert [person.joined[-1].generation for person in (first, second, third)] == [2, 2, 2]


def test_what_a_member_leaves_is_shared_by_the_others():
    group = Group("g")
    first, second = Person(group), Person(group)
    first.join()
    second.join()

    group.leave(second.name)
    first.join()

    assert first.joined[-1] == (2, [first.name])


def test_a_member_that_leaves_while_all_wait_for_it_lets_them_go_on():
    group = Group("g")
    first, second = Person(group), Person(group)
    first.join()

    group.leave(second.name)

    assert first.joined == [(1, [first.name])]


def test_a_commit_keeps_its_metadata_and_the_others():
    group = Group("g")
    member = Person(group)
    member.join()

    group.commit(member.name, 1, {("t", 0): Committed(5, "tenure/1"), ("t", 1): Committed(6, "")})
    group.commit(member.name, 1, {("t", 0): Committed(7, "tenure/2")})

    assert group.positions == {("t", 0): (7, "tenure/2"), ("t", 1): (6, "")}


def test_a_commit_of_an_old_generation_is_refused_and_changes_nothing():
    group = Group("g")
    member = Person(group)
    member.join()
    other = Person(group)
    group.commit(member.name, 1, {("t", 0): Committed(1, "")})  # called, but the generation still stands
    member.join()
    other.join()

    with pytest.raises(IllegalGenerationError, match="group g is at generation 2, the commit is of 1"):
        group.commit(member.name, 1, {("t", 0): Committed(2, "")})

    assert group.positions == {("t", 0): (1, "")}


def test_a_stranger_can_neither_join_nor_commit():
    group = Group("g")
    member = Person(group)
    member.join()
    group.leave(member.name)

    with pytest.raises(UnknownMemberIdError, match="is no member of group g"):
        group.commit(member.name, 1, {})
    with pytest.raises(UnknownMemberIdError):
        member.join()
