from __future__ import annotations

import numpy as np
import pytest

from detectors.aggregation.detector import AggregationDetector
from detectors.protocol import MICROSECONDS, Columns, Verdicts, fold
from state.keys import PackedKeys
from streams.simulators.cards import TABLES, Tables, read_tables, simulate_cards

DAY = 86_400 * MICROSECONDS


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
    day = (columns["at"] - columns["at"].min()) / DAY
    assert day[fraud].min() > 0.5 * 150 - 2
    assert 0.005 < fraud.mean() < 0.15
    assert (columns["mode"][fraud] == "online").mean() == pytest.approx(0.95, abs=0.03)


def test_amounts_follow_the_mixture_of_cut_normals():
    tables = Tables(
        amounts=((10.0, 0.0, 0.0), (100.0, 0.0, 0.0), (1_000.0, 500.0, 900.0)),
        holders=((1.0, 0.0, 0.0),) * 3,
        fraudsters=((0.0, 0.49, 0.5), (0.0, 1.0, 0.0)),  # a row that adds up to .99, as one of the paper's, is scaled
    )
    columns = simulate_cards(cards=300, days=100, tables=tables, episode_probability=1.0)
    fraud = columns["label"] == 1
    assert set(columns["amount"][~fraud].tolist()) == {1_000}
    large = columns["amount"][fraud & (columns["amount"] != 10_000)]
    assert large.min() == 90_000
    at_the_cut, below = (large == 90_000).mean(), 0.4207  # Φ((900 − 1000) / 500)
    assert at_the_cut == pytest.approx(below, abs=0.05)
    assert large.mean() == pytest.approx(100 * (900 * below + 1_000 * (1 - below) + 500 * 0.3910), rel=0.03)  # φ(.2) = .3910


def test_with_equal_rates_fraudsters_pay_as_often_as_holders_and_as_many_times():
    apart, alike = (simulate_cards(cards=400, days=200, seed=5, equal_rates=equal) for equal in (False, True))
    many = [int(columns["label"].sum()) for columns in (apart, alike)]
    assert many[1] == pytest.approx(many[0], rel=0.15)

    def gap(columns):
        """Median days between a card's frauds."""
        fraud = columns["label"] == 1
        card, at = columns["card_id"][fraud], columns["at"][fraud] / DAY
        order = np.lexsort((at, card))
        return np.median(np.diff(at[order])[card[order][1:] == card[order][:-1]])

    assert gap(apart) < 0.5  # three and one and a half a day
    assert gap(alike) == pytest.approx(np.log(2), rel=0.2)  # one a day


def test_nothing_to_simulate_is_refused():
    with pytest.raises(ValueError, match="cards = 0"):
        simulate_cards(cards=0)
    with pytest.raises(ValueError, match="employees = 9"):
        simulate_cards(cards=5, employees=9)
    with pytest.raises(ValueError, match="holders"):
        simulate_cards(cards=5, tables=TABLES._replace(holders=((0.5, 0.1, 0.1),) * 3))
    with pytest.raises(ValueError, match="amounts"):
        simulate_cards(cards=5, tables=TABLES._replace(amounts=((1.0, 2.0),) * 3))


def test_tables_are_read_from_a_file_and_wrong_ones_refused(tmp_path):
    file = tmp_path / "tables.toml"
    rows = {name: [list(row) for row in getattr(TABLES, name)] for name in TABLES._fields}
    file.write_text("\n".join(f"{name} = {numbers}" for name, numbers in rows.items()))
    assert np.array_equal(np.vstack(read_tables(file)), np.vstack(TABLES))
    file.write_text(file.read_text().replace("holders", "cardholders"))
    with pytest.raises(ValueError, match=r"tables\.toml.*cardholders"):
        read_tables(file)


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


def test_a_time_in_which_nobody_pays_is_refused_by_name():
    with pytest.raises(ValueError, match=r"cards = 1, days = 1, rate = 1e-09: nobody pays anything"):
        simulate_cards(cards=1, days=1, rate=1e-9)
