from __future__ import annotations

import numpy as np

from tests.papers.hardness import variational


def test_the_gradient_by_hand_is_that_of_small_steps():
    rng = np.random.default_rng(0)
    weights = {name: value + 0.1 * rng.normal(size=value.shape) for name, value in variational.begin(7, rng).items()}
    x, drawn = rng.random((5, 7)), rng.normal(size=(5, variational.LATENT))
    slopes = variational.loss(weights, x, drawn)[1]
    assert slopes.keys() == weights.keys()
    for name, value in weights.items():
        for place in rng.integers(value.size, size=4):
            beside = []
            for step in (1e-5, -1e-5):
                moved = weights | {name: value.copy()}
                moved[name].ravel()[place] += step
                beside.append(variational.loss(moved, x, drawn)[0])
            assert abs((beside[0] - beside[1]) / 2e-5 - slopes[name].ravel()[place]) <= 1e-4 * (1.0 + abs(slopes[name].ravel()[place])), (
                name
            )


def test_what_it_was_fit_on_is_told_from_what_it_was_not():
    rng = np.random.default_rng(1)
    axes = rng.random((3, 20))
    known, strange = rng.random((400, 3)) @ axes / 3.0, rng.random((100, 20)) / 2.0
    error = variational.variational(known[:300])
    assert np.median(error(known[300:])) < 0.5 * np.median(error(strange))
    np.testing.assert_array_equal(error(strange), variational.variational(known[:300])(strange))
