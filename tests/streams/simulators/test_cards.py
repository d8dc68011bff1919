from __future__ import annotations

import numpy as np
import pytest

from detectors.aggregation.detector import AggregationDetector
from detectors.protocol import MICROSECONDS, Columns, Verdicts, fold
from state.keys import PackedKeys
from streams.simulators.cards import simulate_cards


def test_equal_seeds_give_equal_transactions():
    one, other, third = (simulate_cards(cards=20, days=30, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.array_equal(one["amount"], third["amount"])


def test_columns_are_as_promised():
    columns = simulate_cards(cards=50, days=60, employees=10)
    n = len(columns["at"])
    assert {len(column) for column in columns.values()} == {n}
    assert (np.diff(columns["at"]) >= 0).all()
    assert (columns["at"] % MICROSECONDS == 0).all()
    assert len(set(columns["transaction_id"].tolist())) == n
    assert len(set(columns["card_id"].tolist())) == 50
    assert len(set(columns["employee_id"].tolist()) - {""}) == 10
    assert (columns["amount"] >= 200).all()
    offline = columns["mode"] == "offline"
    assert (columns["address_match"][offline] == -1).all()
    assert set(columns["address_match"][~offline].tolist()) == {0, 1}
    assert n == pytest.approx(50 * 60, rel=0.3)


def test_frauds_come_in_episodes_after_the_fraud_free_time():
    columns = simulate_cards(cards=200, days=150)
    fraud = columns["label"] == 1
    day = (columns["at"] - columns["at"].min()) / (86_400 * MICROSECONDS)
    assert day[fraud].min() > 0.4 * 150 - 2
    assert 0.005 < fraud.mean() < 0.15
    assert (columns["mode"][fraud] == "online").mean() == pytest.approx(0.95, abs=0.03)


def test_nothing_to_simulate_is_refused():
    with pytest.raises(ValueError, match="cards = 0"):
        simulate_cards(cards=0)
    with pytest.raises(ValueError, match="employees = 9"):
        simulate_cards(cards=5, employees=9)


def test_unusualness_finds_simulated_frauds():
    columns = simulate_cards(cards=200, days=150, seed=3)
    n = len(columns["at"])
    fields = {
        "amount": columns["amount"],
        "mode": (columns["mode"] == "offline").astype(np.int64),
        "address_match": columns["address_match"],
        "credit_limit": columns["credit_limit"],
        "merchant": np.full(n, -1),
        "transaction": np.arange(n),
    }
    detector = AggregationDetector(epsilon=0.005)
    stream = Columns(PackedKeys.pack(columns["card_id"].tolist()), columns["at"], fields)
    verdicts = Verdicts.join([verdicts for _, verdicts in fold(detector, detector.new_state(), stream)])
    fraud = columns["label"] == 1
    assert fraud[verdicts.alert].mean() > 5 * fraud.mean()
