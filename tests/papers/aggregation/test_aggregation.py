from __future__ import annotations

import numpy as np
import pytest

from detectors.protocol import MICROSECONDS
from streams.measures import weighted_cost
from streams.simulators.cards import DAY, simulate_cards
from tests import naive
from tests.papers.aggregation import handbook, printed, report
from tests.papers.aggregation.__main__ import sections
from tests.papers.aggregation.difficulty import difficulty, recall
from tests.papers.aggregation.experiment import RATES, balanced
from tests.papers.aggregation.families import FAMILIES, FIRST_FRAUD_DAY, LEARNING_DAYS, WINDOWS, families

NEEDS = "the papers' classifiers: pip install 'nilometer[papers]'"


@pytest.fixture(scope="module")
def transactions(data):
    return handbook.read(data / handbook.FILE)


def test_the_papers_percentages_are_means_of_three_ratios():
    for rates in RATES:
        assert np.mean(printed.TXG_OVER_TG[rates]) == pytest.approx(printed.MEAN_OVER_TG[rates]["TxG"], abs=0.005)


def test_cells_that_stand_in_two_tables_are_marked_as_wrong():
    for (table, family, classifier), cell in printed.CELLS.items():
        elsewhere = {t for (t, f, c), other in printed.CELLS.items() if (f, c, other) == (family, classifier, cell)}
        assert ((table, family, classifier) in printed.WRONG) == (len(elsewhere) > 1)


def test_the_cost_has_a_floor_of_a_hundred_and_first():
    caught = np.array([True, True, False, False])
    assert weighted_cost(caught, caught) == 1 / 101


def test_the_families_equal_the_slow_way():
    columns = simulate_cards(cards=4, days=170, rate=2.0, fraud_free=0.9, seed=3)
    made = families(columns)
    second = columns["at"] // MICROSECONDS
    day = (second - second.min()) // DAY
    online, match = (columns["mode"] == "online").astype(int), columns["address_match"]
    rows = np.flatnonzero(day >= FIRST_FRAUD_DAY)
    assert len(rows) == len(made.label) > 100
    for place in range(0, len(rows), 7):
        row = int(rows[place])
        now, own = int(second[row]), np.flatnonzero(columns["card_id"][:row] == columns["card_id"][row])
        for column, (attribute, value) in enumerate(((online, 1), (online, 0), (match, 1), (match, 0))):
            history = [(int(second[k]), columns["amount"][k] / 100.0, int(attribute[k])) for k in own]
            learned = [attribute[k] for k in own if day[k] < LEARNING_DAYS and attribute[k] >= 0]
            share = (learned.count(value) + 1) / (len(learned) + 2)
            gate = (attribute[row] == value) * (1 - share)
            for w, days in enumerate(WINDOWS):
                reference = {
                    "SA": naive.simple_aggregation(history, days * DAY, now, value),
                    "SA gated": gate * naive.simple_aggregation(history, days * DAY, now, value),
                    "TxG": gate * naive.transaction_gap(history, days * DAY, now, value, "paper"),
                    "TxG recency": gate * naive.transaction_gap(history, days * DAY, now, value, "recency"),
                    "TG": gate * naive.time_gap(history, days * DAY, now, value) / DAY,
                }
                computed = {name: made.features[name][w, place, 5 + column] for name in reference}
                assert computed == pytest.approx(reference)


def test_all_families_begin_with_the_transaction_alone():
    made = families(simulate_cards(cards=4, days=170, seed=1))
    alone = made.features["Tx"]
    assert alone.shape[-1] == 5
    assert all(np.array_equal(made.features[name][..., :5], alone) for name in FAMILIES)


def test_a_sub_sampling_holds_all_frauds_and_as_many_others():
    label = np.arange(50) % 5 == 0
    rows = np.arange(50) < 40
    drawn = balanced(np.random.default_rng(0), rows, label)
    assert set(np.flatnonzero(rows & label)) < set(drawn.tolist())
    assert len(set(drawn.tolist())) == len(drawn) == 16
    assert rows[drawn].all()


def test_recall_counts_frauds_above_what_one_genuine_in_a_hundred_reaches():
    score = np.concatenate([np.arange(200.0), [197.5, 150.0]])
    label = np.arange(202) >= 200
    assert recall(score, label) == 0.5
    assert recall(np.zeros(202), label) == 0.0


def test_two_columns_find_most_of_the_simulated_frauds_and_that_is_said():
    _, found = difficulty(simulate_cards(), FIRST_FRAUD_DAY)
    assert found["does not match, then amount"][2] > 0.6
    assert all(name in "\n".join(report.simulator()[0]) for name in found)


def test_a_report_is_taken_apart_and_put_together():
    text = "# Head\n\nwords\n\n## One\n\n### Part\n\n1\n\n## Two\n\n2\n"
    assert sections(text) == {"One": "## One\n\n### Part\n\n1\n", "Two": "## Two\n\n2\n"}


def test_the_books_split_has_the_books_size(transactions):
    train, test = handbook.split(transactions, handbook.STARTS["07-25"])
    assert len(test) == 58_264
    assert transactions.fraud[test].sum() == 385
    assert not set(transactions.card[train][transactions.fraud[train]].tolist()) & set(transactions.card[test].tolist())


@pytest.mark.slow
def test_the_time_gap_beats_the_transaction_gap_and_the_transaction_alone():
    pytest.importorskip("sklearn", reason=NEEDS)
    text, bars = report.paper(sub_samplings=2, windows=(3, 6))
    assert all(bars.values()), bars
    assert "Table 9" in "\n".join(text)


@pytest.mark.slow
def test_a_forest_on_our_features_reaches_the_bar_on_the_handbooks_transactions(data):
    pytest.importorskip("sklearn", reason=NEEDS)
    _, bars = report.forest(data / handbook.FILE, seeds=1)
    assert all(bars.values()), bars
