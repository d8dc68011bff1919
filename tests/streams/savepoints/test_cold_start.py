"""A partition begun anew by hand: its epoch stands above all before, and only what was adopted since then counts."""

from __future__ import annotations

from config.load import load
from streams.configured import definition
from streams.durable.cut_log import Adoption, Begin, Generation, counting, encode
from streams.durable.manifest import CutPosition, Shelf
from streams.durable.store import Stored
from streams.savepoints.cold_start import checkpoint, in_force, latest, next_epoch, since_reset

OLD, NEW = Generation(0, 7), Generation(1, 2)


def log(*entries):
    return [(offset, entry if isinstance(entry, bytes) else encode(entry)) for offset, entry in enumerate(entries)]


def test_an_epoch_begins_above_every_generation_and_what_cannot_be_read_is_passed_over():
    assert next_epoch(None) == (1, 0)
    assert next_epoch(in_force(log(Begin(OLD, 0), b"what", Begin(Generation(0, 3), 0)))) == (1, 0)
    assert next_epoch(in_force(log(Begin(OLD, 0), Begin(Generation(1, 0), 0), Begin(NEW, 5)))) == (2, 0)
    assert Generation(0, 10**9) < next_epoch(None) < Generation(1, 1)


def test_after_a_reset_only_later_cuts_are_printed_and_they_may_go_back():
    before = [Begin(OLD, 0), Adoption(OLD, 1, 50, {"a": 1}), b"what"]
    after = [Begin(Generation(1, 0), 60), Adoption(OLD, 2, 55, {"late": 1}), Begin(NEW, 60), Adoption(NEW, 1, 10, {"b": 2})]
    assert since_reset(log(*before)) == log(*before)
    assert [(cut.n, cut.inputs) for cut in counting(1, since_reset(log(*before, *after)))] == [(10, {"b": 2})]


def test_after_a_reset_that_keeps_the_cuts_before_it_count_as_well():
    entries = [
        Begin(OLD, 0),
        Adoption(OLD, 1, 50, {"a": 1}),
        Begin(Generation(1, 0), 60, True),
        Begin(NEW, 60),
        Adoption(NEW, 1, 70, {"b": 2}),
    ]
    assert [cut.n for cut in counting(1, since_reset(log(*entries)))] == [50, 70]
    assert b"keeps" not in encode(Begin(OLD, 0))


def shelved(*checkpoints, damaged=()):
    """Checkpoints (name, offset, the cuts they hold) on a shelf."""
    stream, records = definition("errors", load(environment={})), []
    for name, offset, cuts in checkpoints:
        records += checkpoint(stream, 1, 2, offset, cuts, name)
    return Shelf(Stored(i, key, b"x" if key.decode() in damaged else value) for i, (key, value) in enumerate(records))


def test_the_last_checkpoint_is_the_one_that_has_folded_most_is_whole_and_has_missed_no_cut():
    cuts = log(
        Begin(OLD, 0),
        Adoption(OLD, 1, 50, {}),
        Begin(Generation(0, 8), 55),
        Adoption(OLD, 2, 60, {}),
        Adoption(Generation(0, 8), 1, 70, {}),
    )
    before, between, after = CutPosition(1, OLD, 0), CutPosition(2, OLD, 1), CutPosition(5, (0, 8), 1)
    three = [("a/1", 40, before), ("a/2", 65, between), ("b/1", 80, after)]
    assert latest(shelved(), cuts) is None
    assert latest(shelved(*three), cuts)[0] == "b/1"
    assert latest(shelved(*three, damaged=["b/1/0"]), cuts)[0] == "a/2"
    assert latest(shelved(*three, damaged=["b/1/m"]), cuts)[0] == "a/2"
    zombie = ("a/3", 90, between)  # put out, and past the cut before 70
    assert latest(shelved(*three, zombie), cuts)[0] == "b/1"
    zombie = ("a/3", 55, before)  # and past the cut before 50
    assert latest(shelved(three[0], zombie), cuts)[0] == "a/1"


def test_a_cold_checkpoint_is_read_as_any_other():
    stream = definition("errors", load())
    cuts = CutPosition(4, (1, 0), 0)
    records = checkpoint(stream, 1, 2, 48_213, cuts, "0123456789abcdef/0")
    shelf = Shelf(Stored(offset, key, value) for offset, (key, value) in enumerate(records))
    manifest = shelf.manifest("0123456789abcdef/0")
    assert (manifest.offset, manifest.partitions, manifest.cuts, manifest.before) == (48_213, 2, cuts, None)
    part = stream.partition(1)
    part.thaw(shelf.data("0123456789abcdef/0", manifest))
    assert part.next == part.first == 48_213
    fresh = stream.partition(1)
    fresh.next = fresh.first = 48_213
    assert part.freeze() == fresh.freeze()
