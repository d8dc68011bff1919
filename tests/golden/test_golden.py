"""What earlier builds wrote is read, upgraded and gone on from; what a newer one wrote is refused."""

from __future__ import annotations

import numpy as np
import pytest

from state import snapshot
from state.snapshot import Section, SnapshotError
from tests.golden import make

FILES = sorted(make.HERE.glob("*.npz"))
SAME = {"rtol": 1e-9, "atol": 1e-12}  # bits are promised for one build on one family of processors


def opened(file):
    name, kept = make.opened(file)
    said = {column.removeprefix("said."): values for column, values in kept.items() if column.startswith("said.")}
    return name, kept["state"].tobytes(), make.next_events(kept), said


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_state_of_an_earlier_build_is_read_and_gone_on_from_with_the_very_verdicts_that_it_gave(file):
    name, state, columns, reference = opened(file)
    part = make.partition(name)
    part.thaw(state)
    assert part.next == part.counts.events == make.LEARNT
    said = make.fold(part, columns)
    for column, values in reference.items():
        computed = getattr(said, column)
        if values.dtype.kind == "f":
            np.testing.assert_allclose(computed, values, **SAME, err_msg=column)
        else:
            np.testing.assert_array_equal(computed, values, column)
    again = make.partition(name)
    again.thaw(part.freeze())
    assert again.freeze() == part.freeze()


@pytest.mark.parametrize("name", make.DETECTORS)
def test_there_is_a_golden_file_of_what_this_build_writes(name):
    wanted = f"{name}.{make.versions(make.partition(name))}.npz"
    assert wanted in [file.name for file in FILES], "a version has gone up: bring the upgrade, then run python -m tests.golden.make"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_section_of_a_newer_build_is_refused_with_both_versions(file):
    name, state, _, _ = opened(file)
    part = make.partition(name)
    part.thaw(state)  # now of this build's versions
    sections = snapshot.unpack(part.freeze())
    for section, own in sections.items():
        newer = {**sections, section: Section(own.version + 1, own.arrays, own.meta)}
        with pytest.raises(SnapshotError, match=f"section '{section}' has version {own.version + 1}, this build knows {own.version}"):
            make.partition(name).thaw(snapshot.pack(newer))


def test_golden_files_are_small():
    assert sum(file.stat().st_size for file in FILES) < 1 << 20
