"""Real tests on the handbook's simulated transactions: nobody here made their frauds."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.aggregation.detector import DAY, AggregationDetector
from detectors.protocol import MICROSECONDS, Columns
from state.keys import PackedKeys
from streams.measures import average_precision, card_precision
from tests.detectors.aggregation.rounds import hourly

WARM_UP, DAYS = 30, 37  # days: cards learn themselves for a month, the week after it is judged


@pytest.fixture(scope="module")
def handbook(data):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(data / "cards" / "handbook_2018-04_08.parquet", filters=[("t", "<", DAYS * DAY)])
    return {name: table[name].to_numpy().astype(np.int64) for name in ("tx_id", "t", "card", "amount_cents", "fraud", "scenario")}


def judged(handbook, epsilon):
    n = len(handbook["t"])
    not_given = {name: np.full(n, -1, np.int64) for name in ("mode", "address_match", "credit_limit", "merchant")}
    keys = PackedKeys.pack([str(card) for card in handbook["card"].tolist()])
    fields = {**not_given, "amount": handbook["amount_cents"], "transaction": handbook["tx_id"]}
    detector = AggregationDetector(epsilon=epsilon)
    verdicts = hourly(detector, Columns(keys, handbook["t"] * MICROSECONDS, fields))
    return verdicts, handbook["t"] >= WARM_UP * DAY


def test_the_realised_alert_rate_is_near_epsilon(handbook):
    for epsilon in (0.001, 0.01):
        verdicts, week = judged(handbook, epsilon)
        assert (verdicts.reason == 0).all()
        assert verdicts.alert[week].mean() == pytest.approx(epsilon, rel=0.2)


def test_frauds_by_amount_and_on_leaked_cards_are_far_more_frequent_among_alerts(handbook):
    """At ε = 1 ‰ four alerts of five are frauds of which the amount tells, against 4 ‰ of all transactions."""
    verdicts, week = judged(handbook, 0.001)
    alerts = verdicts.alert[week]
    assert np.isin(handbook["scenario"][week], (1, 3))[alerts].mean() > 0.8
    verdicts, week = judged(handbook, 0.01)
    alerts = verdicts.alert[week]
    for scenario, times in ((1, 40), (3, 15)):
        found = handbook["scenario"][week] == scenario
        assert found[alerts].mean() > times * found.mean()


@pytest.mark.slow
def test_before_any_label_unusualness_is_not_below_an_isolation_forest_on_the_same_features(handbook):
    """Five weeks from the first day on, new cards included; the forest is even fitted to all of them beforehand."""
    forests = pytest.importorskip("sklearn.ensemble", reason="scikit-learn is of the extra `papers`")
    verdicts, _ = judged(handbook, 0.001)
    features = AggregationDetector().features
    vectors = np.stack([verdicts.evidence[name] for name in features], axis=1)
    fraud, day = handbook["fraud"] > 0, handbook["t"] // DAY
    ours = average_precision(verdicts.score, fraud), card_precision(verdicts.score, fraud, handbook["card"], day)
    for seed in (0, 1):
        score = -forests.IsolationForest(random_state=seed).fit(vectors).score_samples(vectors)
        assert ours[0] > average_precision(score, fraud)
        assert ours[1] >= card_precision(score, fraud, handbook["card"], day)
