from __future__ import annotations

import msgspec
import numpy as np
import pytest

from detectors.aggregation import model as versions
from detectors.aggregation.detector import AggregationDetector
from detectors.aggregation.logistic import OnlineLogistic, sigma
from detectors.aggregation.model import ActingModel, ModelRefused
from detectors.aggregation.recalibration import Recalibration, recalibrated
from state.snapshot import Section, pack, unpack

NAMES = ("amount", "gap", "share")


@pytest.fixture
def made():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(3000, 3)) * [50.0, 1.0, 0.1]
    y = (rng.random(3000) < 1 / (1 + np.exp(-(x[:, 1] - 3)))).astype(int)
    model, recalibration = OnlineLogistic(3), Recalibration()
    recalibration.count(model.learn(x, y), y)
    record = versions.record(426_000, NAMES, model, recalibration, 3000, int(y.sum()))
    return x, model, recalibration, msgspec.json.decode(msgspec.json.encode(record))


def test_a_version_says_what_the_trainers_model_says(made):
    x, model, recalibration, record = made
    acting = versions.acting(record, NAMES)
    reference = [recalibrated(recalibration.curve(), logit) for logit in model.logits(x[:100])]
    assert [acting.probability(row) for row in x[:100]] == reference
    assert (acting.version, acting.learned) == (426_000, 3000)


def test_whoever_goes_on_from_a_version_learns_the_same_to_the_bit(made):
    x, model, recalibration, record = made
    other, bins = versions.learner(record, NAMES)
    y = np.arange(200) % 7 == 0
    assert model.learn(x[:200], y).tobytes() == other.learn(x[:200], y).tobytes()
    for name in ("mean", "squares", "weights", "gradients"):
        assert getattr(model, name).tobytes() == getattr(other, name).tobytes()
    assert bins.curve().tobytes() == recalibration.curve().tobytes()


def test_a_frozen_state_keeps_it_to_the_bit(made):
    acting = versions.acting(made[3], NAMES)
    thawed = ActingModel.of_arrays(acting.arrays())
    assert thawed.probability(made[0][0]) == acting.probability(made[0][0])
    assert (thawed.version, thawed.learned, thawed.frauds, thawed.clip) == (acting.version, acting.learned, acting.frauds, acting.clip)


def test_contributions_and_the_intercept_sum_up_to_the_logit(made):
    x, model, _, record = made
    acting = versions.acting(record, NAMES)
    assert acting.contributions(x[0]).sum() + acting.weights[-1] == pytest.approx(model.logits(x[:1])[0])
    assert sigma(model.logits(x[:1])[0]) == model.probability(x[:1])[0]


def test_a_version_of_other_features_is_refused_by_name(made):
    record = made[3]
    with pytest.raises(ModelRefused, match="age, share in one and not in the other"):
        versions.acting(record, ("amount", "gap", "age"))
    with pytest.raises(ModelRefused, match="another order"):
        versions.acting(record, ("gap", "amount", "share"))
    with pytest.raises(ModelRefused, match="format 3"):
        versions.acting({**record, "format": 3}, NAMES)
    with pytest.raises(ModelRefused, match="weights"):
        versions.acting({**record, "weights": [1.0]}, NAMES)
    with pytest.raises(ModelRefused, match="finite"):
        versions.acting({**record, "mean": [0.0, float("inf"), 0.0]}, NAMES)


def test_a_state_from_before_models_took_logarithms_goes_on_without_any(made):
    detector = AggregationDetector()
    state = detector.new_state()
    acting = versions.acting(made[3], NAMES)
    acting.logs[:] = False
    state.model = acting
    sections = unpack(pack(detector.freeze(state)))
    own = sections["aggregation.model"]
    before = Section(1, {name: array for name, array in own.arrays.items() if name != "logs"}, own.meta)
    thawed = detector.thaw({**sections, "aggregation.model": before})
    assert pack(detector.freeze(thawed)) == pack(sections)
    assert thawed.model.probability(made[0][0]) == acting.probability(made[0][0])
