"""What a model is built from where readings are missing: stretches that did not follow each other are not read as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.normal_model.detector import NormalModelDetector
from detectors.normal_model.ladder import seamless
from tests.detectors.normal_model.test_detector import judged, readings


@given(st.lists(st.sampled_from([1.0, 2.0, np.nan]), min_size=1, max_size=60), st.integers(2, 6))
def test_a_subsequence_is_whole_if_no_seam_lies_in_it(stretch, length):
    # two seams in a row, or one at an end, never stand in a history
    stretch = [x for i, x in enumerate(stretch) if x == x or (0 < i < len(stretch) - 1 and stretch[i - 1] == stretch[i - 1])]
    while stretch and stretch[-1] != stretch[-1]:
        stretch.pop()
    while stretch and stretch[0] != stretch[0]:
        stretch.pop(0)
    values = [x for x in stretch if x == x]
    if len(values) < length:
        return
    places = [i for i, x in enumerate(stretch) if x == x]
    reference = [places[i + length - 1] - places[i] == length - 1 for i in range(len(values) - length + 1)]
    found, whole = seamless(np.array(stretch), length)
    assert found.tolist() == values
    assert whole.tolist() == (reference if sum(reference) >= length else [True] * len(reference))


@pytest.mark.parametrize("share", [0.002, 0.01])
def test_missing_readings_do_not_make_a_sensor_deaf(share):
    rng = np.random.default_rng(1)
    values = np.tile(rng.standard_normal(71), 180)[:12_700] + 0.05 * rng.standard_normal(12_700)
    torn = values.copy()
    torn[:10_500][rng.random(10_500) < share] = np.nan
    reference, _ = judged(NormalModelDetector(), readings(values))
    computed, _ = judged(NormalModelDetector(), readings(torn))
    assert np.nanmedian(computed.threshold[12_500:]) < 1.5 * np.nanmedian(reference.threshold[12_500:])
