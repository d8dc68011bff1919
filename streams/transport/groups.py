"""Consumer groups of the embedded broker: members, generations, committed positions.

The protocol is Kafka's: a rebalance waits until every member has given back its partitions and joined again; the first member
assigns; the generation goes up by one. What a member may commit depends on the generation that it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, NamedTuple

from aiokafka.errors import IllegalGenerationError, UnknownMemberIdError


class StaleCommit(Exception):
    """The group has moved on since the committer's generation: nothing was committed, and its fold is dead."""


class UnansweredCommit(StaleCommit):
    """The group did not answer in time: the commit may stand or not, and the partition may be another's by now."""


class Committed(NamedTuple):
    """A committed position: the next offset to read, and what the committer wrote beside it."""

    offset: int
    metadata: str


class Joined(NamedTuple):
    """What a member gets when its group has found together."""

    generation: int
    assignment: Any


Assign = Callable[[Mapping[str, Any]], Mapping[str, Any]]  # member → its metadata; member → its assignment


@dataclass(slots=True)
class Member:
    """A member: how to tell it that it must join again, and, while it waits for the others, how to tell it the outcome."""

    rejoin: Callable[[], None]
    metadata: Any = None
    assign: Assign | None = None
    answer: Callable[[Joined], None] | None = None
    called: bool = False  # told to join, and not yet assigned anew: told once is enough


@dataclass(slots=True)
class Group:
    """One group. Callbacks are made in the caller's thread and must not block."""

    name: str
    generation: int = 0
    members: dict[str, Member] = field(default_factory=dict)
    positions: dict[tuple[str, int], Committed] = field(default_factory=dict)
    lock: RLock = field(default_factory=RLock)
    _names: int = 0

    def enter(self, rejoin: Callable[[], None]) -> str:
        """Become a member and return its name; `rejoin` is called whenever the group wants it to join (again), first at once."""
        with self.lock:
            self._names += 1
            member = f"{self.name}-{self._names}"
            self.members[member] = Member(rejoin)
            self._call_together()
            return member

    def join(self, member: str, metadata: Any, assign: Assign, answer: Callable[[Joined], None]) -> None:
        """Give back what was assigned and wait: `answer` is called when every member has joined.

        Raises
        ------
        aiokafka.errors.UnknownMemberIdError
            The member has left, or was put out.
        """
        with self.lock:
            known = self._member(member)
            known.metadata, known.assign, known.answer = metadata, assign, answer
            self._call_together()

    def leave(self, member: str) -> None:
        """Cease to be a member (the broker may also put one out that it no longer hears); the others share its partitions."""
        with self.lock:
            if self.members.pop(member, None) is not None and self.members:
                self._call_together()

    def rebalance(self) -> None:
        """Call all members together, as if one had come or gone."""
        with self.lock:
            if self.members:
                self._call_together()

    def commit(self, member: str, generation: int, positions: Mapping[tuple[str, int], Committed]) -> None:
        """Make positions current, if the committer belongs to the present generation.

        Raises
        ------
        aiokafka.errors.UnknownMemberIdError, aiokafka.errors.IllegalGenerationError
            It does not; nothing is changed.
        """
        with self.lock:
            self._member(member)
            if generation != self.generation:
                raise IllegalGenerationError(f"group {self.name} is at generation {self.generation}, the commit is of {generation}")
            self.positions.update(positions)

    def _member(self, member: str) -> Member:
        try:
            return self.members[member]
        except KeyError:
            raise UnknownMemberIdError(f"{member} is no member of group {self.name}") from None

    def _call_together(self) -> None:
        absent = [m for m in self.members.values() if m.answer is None]
        if absent:
            for one in absent:
                if not one.called:
                    one.called = True
                    one.rejoin()
            return
        assign = next(iter(self.members.values())).assign
        assert assign is not None, "a member that has an answer to give has joined"
        assignments = assign({name: m.metadata for name, m in self.members.items()})
        self.generation += 1
        for name, m in self.members.items():
            answer, m.answer, m.called = m.answer, None, False
            assert answer is not None
            answer(Joined(self.generation, assignments[name]))
