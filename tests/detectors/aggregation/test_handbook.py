"""Real tests on the handbook's simulated transactions: nobody here made their frauds."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.aggregation.detector import DAY, AggregationDetector
from detectors.protocol import MICROSECONDS, Columns, Verdicts, fold
from state.keys import PackedKeys

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
    stream = Columns(keys, handbook["t"] * MICROSECONDS, fields)
    verdicts = Verdicts.join([verdicts for _, verdicts in fold(detector, detector.new_state(), stream)])
    return verdicts, handbook["t"] >= WARM_UP * DAY


def test_the_realised_alert_rate_is_near_epsilon(handbook):
    for epsilon in (0.001, 0.01):
        verdicts, week = judged(handbook, epsilon)
        assert (verdicts.reason == 0).all()
        assert verdicts.alert[week].mean() == pytest.approx(epsilon, rel=0.2)


def test_frauds_by_amount_and_on_leaked_cards_are_far_more_frequent_among_alerts(handbook):
    """At ε = 1 ‰ every third alert is a fraud on a leaked card (scenario 3), against 3 ‰ of all transactions."""
    verdicts, week = judged(handbook, 0.001)
    leaked, alerts = handbook["scenario"][week] == 3, verdicts.alert[week]
    assert leaked[alerts].mean() > 50 * leaked.mean()
    verdicts, week = judged(handbook, 0.01)
    alerts = verdicts.alert[week]
    for scenario, times in ((1, 10), (3, 20)):
        found = handbook["scenario"][week] == scenario
        assert found[alerts].mean() > times * found.mean()
