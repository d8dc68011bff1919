"""A labelled file of card transactions: the same trainer, its labels as late as they come, no look ahead."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.load import load
from detectors.aggregation.policy import FRAUDS_NEEDED
from streams.backtest import Backtest, CutRefused
from streams.configured import audit, definition
from streams.cuts import load as load_cuts
from streams.decoding.tabular import read
from streams.durable.references import NoSuchRecord
from streams.measures import average_precision
from streams.model_files import ModelFile
from streams.report import report, write
from streams.transport.broker import partition_of_key

DAYS, DELAY = 14, 2
START = 1_700_006_400
COMPARED = ("fraud_probability", "rule", "model_version", "merchant_7d", "amount_z", "surprise_amount")


def transactions(seed=0, n=12_000):
    """Payments of 200 cards at 60 shops; three shops leak, and what is bought at them is fraud for a while, and dear."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, DAYS * 86_400, n))
    card, shop = rng.integers(0, 200, n), rng.integers(0, 60, n)
    usual = 1_000 + 50 * card
    leaks = (shop < 6) & (rng.random(n) < 0.5)
    amount = (usual * np.exp(rng.normal(0, 0.4, n)) * np.where(leaks, 3, 1)).astype(int)
    return {
        "transaction_id": [f"t{row}" for row in range(n)],
        "card_id": [f"card-{number}" for number in card],
        "at": pa.array((at + START) * 1_000_000, pa.timestamp("us", "UTC")),
        "amount_minor": amount,
        "merchant_id": [f"shop-{number}" for number in shop],
        "label": leaks.astype(int),
    }


def backtest(path, out, partitions=1, given=None, models=None, label=None, **more):
    columns = transactions()
    if label is not None:
        columns["label"] = label
    pq.write_table(pa.table(columns), path)
    overrides = {"cards.label_delay_hours": 24 * DELAY, "cards.learning_rate": 0.2, **more}
    settings = load(None, overrides=overrides, environment={})
    what = definition("cards", settings)
    test = Backtest(what, out, audit(settings, what), partitions, given, models)
    try:
        for batch in read("cards", path, settings, batch=5_000):
            test.feed(batch)
    finally:
        test.close()
    write(out / "report.json", report(test, settings))
    return pq.read_table(out / "scores.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cards")


@pytest.fixture(scope="module")
def whole(folder):
    return backtest(folder / "cards.parquet", folder / "whole")


def test_the_model_decides_once_it_knows_enough_frauds(whole):
    rules, label = np.array(whole["rule"].to_pylist()), np.array(transactions()["label"])
    first = int(np.flatnonzero(rules == "cost")[0])
    at = transactions()["at"].cast(pa.int64()).to_numpy() // 1_000_000
    known = label[at < at[first] - DELAY * 86_400].sum()
    assert known >= FRAUDS_NEEDED
    assert set(rules[:first]) <= {"epsilon", ""}
    probability = whole["fraud_probability"].to_numpy(zero_copy_only=False)
    after = np.arange(len(label)) > first
    assert probability[after & (label == 1)].mean() > 10 * probability[after & (label == 0)].mean()


def test_the_report_holds_each_rule_against_what_it_promises(whole, folder):
    rules = json.loads((folder / "whole" / "report.json").read_text())["rules"]
    rule, alert = np.array(whole["rule"].to_pylist()), np.array(whole["is_alert"].to_pylist())
    for name in ("epsilon", "cost"):
        assert rules[name]["decided"] == (rule == name).sum() > 0
        assert rules[name]["alerts"] == alert[rule == name].sum()
    assert rules["epsilon"]["budget"] == 0.001
    assert rules["cost"]["review_cost"] == 1.0


def test_partitions_share_the_days_alerts_evenly(folder):
    many, cap = 4, 8.0
    said = backtest(folder / "cards.parquet", folder / "capped", many, **{"cards.alerts_per_day": cap, "streams.partitions": many})
    alert, decision = np.array(said["is_alert"].to_pylist()), np.array(said["decision"].to_pylist())
    at = said["at"].cast(pa.int64()).to_numpy() // 1_000_000
    number = np.array([partition_of_key(key.encode(), many) for key in said["key"].to_pylist()])
    most = [max(int(((times >= begin) & (times < begin + 86_400)).sum()) for begin in times) for times in
            (at[alert & (number == each)] for each in range(many))]  # fmt: skip
    assert most == [cap / many] * many
    assert (decision == "held back").sum() > 100


@pytest.mark.parametrize("partitions", [4, 12])
def test_any_number_of_partitions_gives_the_same_scores(whole, folder, partitions):
    computed = backtest(folder / "cards.parquet", folder / f"in-{partitions}", partitions)
    for name in COMPARED:
        assert computed[name].to_pylist() == whole[name].to_pylist(), name


def test_labels_younger_than_the_delay_change_no_score(whole, folder):
    """All labels of the last days are turned around: nothing of what was said is another."""
    label = np.array(transactions()["label"])
    young = transactions()["at"].cast(pa.int64()).to_numpy() // 1_000_000 >= START + (DAYS - DELAY) * 86_400
    assert young.sum() > 1_000
    computed = backtest(folder / "cards.parquet", folder / "flipped", label=np.where(young, 1 - label, label))
    assert computed.equals(whole)
    younger = transactions()["at"].cast(pa.int64()).to_numpy() // 1_000_000 >= START + (DAYS - DELAY - 3) * 86_400
    computed = backtest(folder / "cards.parquet", folder / "flipped", label=np.where(younger, 1 - label, label))
    same = np.flatnonzero(younger)[0]  # what it says before they have matured, and for their delay
    assert computed.slice(0, same).equals(whole.slice(0, same))
    assert not computed.equals(whole)


def test_a_run_is_repeated_by_its_own_cuts_and_versions(whole, folder):
    with (folder / "whole" / "cuts.jsonl").open("rb") as lines:
        given = load_cuts(lines)
    computed = backtest(folder / "cards.parquet", folder / "again", given=given, models=folder / "whole" / "models.jsonl")
    assert computed.equals(whole)
    with pytest.raises(CutRefused, match=r"does not hold the (model|shares) of nilometer.models.cards/0"):
        backtest(folder / "cards.parquet", folder / "without", given=given, models=folder / "nowhere.jsonl")


def test_a_version_that_is_another_is_refused(whole, folder):
    with (folder / "whole" / "cuts.jsonl").open("rb") as lines:
        told = next(cut for cut in load_cuts(lines)[0] if "model" in cut.inputs)
    names = {"model": told.inputs["model"]}
    assert ModelFile(folder / "whole" / "models.jsonl").resolved(names)["model"]["learned"] > 0
    lines = (folder / "whole" / "models.jsonl").read_bytes().replace(b'"clip":20.0', b'"clip":21.0')
    (folder / "forged.jsonl").write_bytes(lines)
    with pytest.raises(NoSuchRecord, match="holds another record than"):
        ModelFile(folder / "forged.jsonl").resolved(names)


def test_the_report_says_what_was_learned_and_how_far_probabilities_can_be_trusted(whole, folder):
    found = msgspec.json.decode((folder / "whole" / "report.json").read_bytes())
    ripe = transactions()["at"].cast(pa.int64()).to_numpy() // 3_600_000_000
    last = int(ripe[-1]) - 24 * DELAY
    assert found["learned"] == int((ripe < last).sum())
    assert found["learned_frauds"] == int(np.array(transactions()["label"])[ripe < last].sum())
    assert found["models"]["champion"]["transactions"] == found["learned"]
    assert sum(row["transactions"] for row in found["reliability"]) > 6_000
    rules, label = np.array(whole["rule"].to_pylist()), np.array(transactions()["label"])
    by_model = rules == "cost"  # before that the score is an unusualness: no common rank
    probability = whole["fraud_probability"].to_numpy(zero_copy_only=False)
    assert found["ranked"] == by_model.sum()
    assert found["average_precision"] == average_precision(probability[by_model], label[by_model] > 0)
    assert found["average_precision"] > 0.5
