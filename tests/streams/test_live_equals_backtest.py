"""Replay equals live: a file folded by Faust agents on the embedded broker and by `backtest` gives the same, to the bit."""

from __future__ import annotations

from itertools import count

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.load import load
from detectors.benford.rows import BAND_TRIALS, LIMIT_HIGH
from detectors.protocol import REASONS
from streams import topics
from streams.backtest import Backtest
from streams.configured import audit, definition
from streams.cuts import load as load_cuts
from streams.decoding.tabular import read
from streams.simulators.cards import simulate_cards
from streams.simulators.layout import table
from streams.simulators.postings import simulate_postings
from streams.simulators.sensors import simulate_sensors
from streams.transport.broker import partition_of_key
from tests.streams import real
from tests.streams.live import live
from tests.streams.test_file_training import transactions

_names = count()
SECTION = {"sensors": "sensors", "cards": "cards", "employees": "benford", "errors": "calibration"}


def settings_for(stream, partitions=2, **more):
    overrides = {"streams.partitions": partitions, f"{SECTION[stream]}.scores": True}
    return load(None, overrides={**overrides, **more}, environment={})


def held_against_backtest(stream, file, settings, folder, **more):
    """Fold a file both ways; assert that everything said is equal; return both."""
    said = live(stream, file, settings, f"live-{next(_names)}", **more)
    what = definition(stream, settings)
    versions = file.parent / "versions.jsonl"
    versions.write_bytes(said.models)
    test = Backtest(what, folder, audit(settings, what), settings.streams.partitions, load_cuts(said.cuts), versions)
    for batch in read(stream, file, settings, batch=5_000):  # not the worker's batches
        test.feed(batch)
    test.close()
    table_of_scores = pq.read_table(folder / "scores.parquet")
    scores = {**table_of_scores.to_pydict(), "at": table_of_scores["at"].cast(pa.int64()).to_pylist()}
    offsets = [0] * settings.streams.partitions
    for row, key in enumerate(scores["key"]):
        partition = 0 if key is None else partition_of_key(key.encode("utf-8", "surrogateescape"), settings.streams.partitions)
        place = (partition, offsets[partition])
        offsets[partition] += 1
        live_row = said.rows.get(place)
        if scores["is_alert"][row] is None:
            assert live_row is None, f"row {row} is bad in the file and was folded live"
            assert scores["reason"][row]
            assert place in {letter[:2] for letter in said.letters}
            continue
        for name, value in live_row.items():
            reference = scores[name][row]
            if name == "reason":
                value = REASONS[value] or None
            if isinstance(reference, float) and np.isinf(reference):
                reference = "inf"
            assert value == reference, f"row {row}, {name}: live {value}, backtest {reference}"
    assert len(said.rows) + sum(alert is None for alert in scores["is_alert"]) == len(scores["row"])
    assert sorted(said.alerts) == sorted((folder / "alerts.jsonl").read_bytes().splitlines())
    assert sorted((folder / "cuts.jsonl").read_bytes().splitlines()) == sorted(said.cuts)
    for part in test.parts:
        assert said.states[part.number] == part.freeze(), f"the states of partition {part.number} differ"
    return said, test


def written(columns, file):
    pq.write_table(table(columns), file)
    return file


def test_sensors(tmp_path):
    columns = simulate_sensors(points=6_000, sensors=3, anomalies=6, length=60, period=40, seed=1)
    file = written(columns, tmp_path / "sensors.parquet")
    _said, test = held_against_backtest("sensors", file, settings_for("sensors", **{"sensors.length": 40}), tmp_path / "out")
    assert test.episodes >= 1
    assert test.tested > 1_000


def test_cards(tmp_path):
    file = written(simulate_cards(cards=60, days=80, seed=2), tmp_path / "cards.parquet")
    _said, test = held_against_backtest("cards", file, settings_for("cards", **{"cards.epsilon": 0.01}), tmp_path / "out")
    assert test.episodes >= 1


def test_cards_while_a_model_is_trained_and_adopted(tmp_path):
    """Labels come two days late, the trainer publishes, partitions adopt, the model decides: and a file says the same, given the cuts."""
    file = tmp_path / "cards.parquet"
    columns = transactions()
    pq.write_table(pa.table({name: column for name, column in columns.items() if name != "label"}), file)
    at = columns["at"].cast(pa.int64()).to_pylist()

    def label(broker):
        for row in np.flatnonzero(columns["label"]).tolist():
            card = columns["card_id"][row]
            outcome = {"card_id": card, "transaction_id": columns["transaction_id"][row], "label": 1, "at": at[row] / 1e6 + 2 * 86_400}
            broker.produce("card.labels", card.encode(), msgspec.json.encode(outcome))

    settings = settings_for("cards", **{"cards.label_delay_hours": 48, "cards.alerts_per_day": 20.0})
    said, test = held_against_backtest("cards", file, settings, tmp_path / "out", pause_every=300, before=label)
    assert said.models.count(b"\n") > 3
    assert any(row["rule"] == "cost" for row in said.rows.values())
    assert max(row["model_version"] for row in said.rows.values()) > 0
    assert {row["decision"] for row in said.rows.values()} == {"passed", "alert", "held back"}
    assert not said.letters
    assert test.episodes > 10


def test_employees_given_the_cuts_at_which_the_population_was_adopted(tmp_path):
    file = written(simulate_postings(employees=20, postings=8_000, seed=3), tmp_path / "postings.parquet")
    said, test = held_against_backtest("employees", file, settings_for("employees"), tmp_path / "out")
    assert said.cuts
    assert test.episodes >= 1


def test_employees_while_their_limits_change(tmp_path):
    """A register's limits, adopted at cuts: a file says the same, given the cuts; bad records are dead letters."""
    columns = simulate_postings(employees=20, postings=8_000, seed=3)
    names, at = sorted(set(columns["employee_id"].tolist())), np.sort(columns["at"])
    bare = {name: column for name, column in columns.items() if name not in ("limit", "approval_limit")}
    file = written(bare, tmp_path / "postings.parquet")

    def limit(broker):
        for share in (0.0, 0.3, 0.6):
            for i, name in enumerate(names):
                told = {"limit": 5_000, "approval_limit": "100.00", "at": int(at[int(share * len(at))]) // 1_000_000}
                value = None if share == 0.6 and i % 2 else msgspec.json.encode(told if share or i % 3 else {"limit": 2_000})
                broker.produce(topics.EMPLOYEE_LIMITS, name.encode(), value)
        broker.produce(topics.EMPLOYEE_LIMITS, names[0].encode(), b'{"limit": "none"}')

    said, test = held_against_backtest("employees", file, settings_for("employees"), tmp_path / "out", pause_every=300, before=limit)
    adopted = [item for line in said.cuts for item in msgspec.json.decode(line)["inputs"].get("limits", {"items": []})["items"]]
    assert len(adopted) == 3 * len(names)
    assert [reason for *_, reason in said.letters] == ["limit = 'none': wanted a decimal number in major units, such as 12.30"]
    rows = np.concatenate([part.state.rows["counts"][part.state.keys.slots()] for part in test.parts])
    assert (rows[:, LIMIT_HIGH] == 500_000).all()
    assert (rows[:, BAND_TRIALS] > 0).all()
    assert sum(len(part.state.limits) for part in test.parts) == (len(names) + 1) // 2


def test_errors(tmp_path):
    rng = np.random.default_rng(4)
    n = 6_000
    hardness = np.exp(0.5 * rng.standard_normal(n))
    error = (0.1 + 0.5 * hardness) * np.exp(0.3 * rng.standard_normal(n))
    columns = {
        "source_id": np.array(["pump", "valve"])[rng.integers(0, 2, n)],
        "class": np.array(["", "night"])[rng.integers(0, 2, n)],
        "at": 1_700_000_000_000_000 + 1_000_000 * np.arange(n),
        "error": error,
        "hardness": hardness,
    }
    file = written(columns, tmp_path / "errors.parquet")
    more = {"calibration.warm_up": 200, "calibration.width": 100}
    _said, test = held_against_backtest("errors", file, settings_for("errors", **more), tmp_path / "out")
    assert test.episodes >= 1


def test_bad_rows_keep_their_places(tmp_path):
    n = 500
    value = [float(np.sin(i / 3)) for i in range(n)]
    value[7], value[8], value[200] = float("nan"), float("inf"), None
    sensor = ["s"] * n
    sensor[30], sensor[31] = None, "x" * 300
    at = [float(i) for i in range(n)]
    at[50], at[51] = -5.0, None
    file = tmp_path / "bad.parquet"
    pq.write_table(pa.table({"sensor_id": sensor, "at": at, "value": value}), file)
    said, test = held_against_backtest("sensors", file, settings_for("sensors"), tmp_path / "out")
    assert test.bad == len(said.letters) == 7


@pytest.mark.parametrize("stream", ["sensors", "cards", "employees"])
@pytest.mark.parametrize("partitions", [1, 3])
def test_whole_real_files(tmp_path, data, stream, partitions):
    file = getattr(real, stream)(data, tmp_path / f"{stream}.parquet")
    _, test = held_against_backtest(stream, file, settings_for(stream, partitions), tmp_path / "out")
    assert test.episodes >= 1
