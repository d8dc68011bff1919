"""Checkpoints and cut log together, one await at a time (`protocol_model`): what is current is whole, what was said stands."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.streams.durable.protocol_model import SESSION, Contradiction, Owner, World, run


class Protocols(RuleBasedStateMachine):
    """Hypothesis chooses who takes the next step, and makes a failure short."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.world.start()

    def owner(self, back: int) -> Owner:
        return self.world.owners[max(0, len(self.world.owners) - 1 - back)]

    @rule(back=st.integers(0, 2), which=st.integers(0, 1), steps=st.integers(1, 20))
    def an_owner_gets_on(self, back: int, which: int, steps: int) -> None:
        for _ in range(steps):
            self.owner(back).step(which)

    @rule(back=st.integers(0, 2), letters=st.integers(1, 8))
    def what_was_sent_lands(self, back: int, letters: int) -> None:
        for _ in range(letters):
            self.world.land(self.owner(back))

    @rule(back=st.integers(0, 2), steps=st.integers(1, 30))
    def an_owner_gets_on_and_is_heard(self, back: int, steps: int) -> None:
        for _ in range(steps):
            self.owner(back).step()
            self.world.land(self.owner(back))

    @rule(events=st.integers(1, 3))
    def events_come(self, events: int) -> None:
        for _ in range(events):
            self.world.produce()

    @rule(seconds=st.sampled_from([1.0, 0.5 * SESSION, 0.8 * SESSION]), beat=st.booleans())
    def time_passes(self, seconds: float, beat: bool) -> None:
        self.world.wait(seconds)
        if beat and self.world.member is not None:
            self.world.beat(self.world.member)

    @rule(back=st.integers(0, 2), what=st.sampled_from(["wants_cut", "wants_checkpoint", "wants_rejoin", "wants_revival", "stutter"]))
    def an_owner_wants_something(self, back: int, what: str) -> None:
        setattr(self.owner(back), what, True)

    @rule(back=st.integers(0, 2), lost=st.booleans())
    def an_answer_does_not_come(self, back: int, lost: bool) -> None:
        self.world.give_up(self.owner(back), lost)

    @rule(back=st.integers(0, 2))
    def an_owner_crashes(self, back: int) -> None:
        self.world.crash(self.owner(back))

    @precondition(lambda self: self.world.vacant)
    @rule()
    def another_owner_comes(self) -> None:
        self.world.start()

    @rule(upto=st.floats(0, 1), tombstones=st.booleans())
    def the_log_is_compacted(self, upto: float, tombstones: bool) -> None:
        self.world.compact(upto, tombstones)

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.world.settle()
        finally:
            self.world.close()


Protocols.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestWhateverHappensInWhateverOrder = Protocols.TestCase


def test_random_courses_of_events_end_in_one_truth():
    worlds = [run(seed, 300) for seed in range(1_500)]

    # that it was a test at all: things were said, owners came and went, cuts were adopted, checkpoints made
    assert sum(len(world.said) for world in worlds) > 10_000
    assert sum(len(world.owners) for world in worlds) > 4_000
    assert sum(world.adopted for world in worlds) > 1_000
    assert sum(len(world.current) for world in worlds) > 2_000


@pytest.mark.slow
def test_a_hundred_thousand_random_courses_of_events_end_in_one_truth():
    for seed in range(100_000):
        run(seed, 100 + seed % 500)


VARIANTS = (
    "cuts before the end", "no lease", "two slots", "unfenced commit", "begins in any order", "two lives in one generation",
)  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_any_one_of_its_rules_the_promise_is_broken(variant):
    for seed in range(20_000):
        try:
            run(seed, 300, variant)
        except (Contradiction, AssertionError, LookupError, TypeError):
            return
        except Exception as parked:  # a state that nobody could have reached
            if type(parked).__name__ == "Parked":
                return
            raise
    pytest.fail(f"nothing found: {variant}")
