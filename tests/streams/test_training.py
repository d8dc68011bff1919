from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.load import load
from config.settings import MODELS
from detectors.aggregation.features import FEATURES
from detectors.protocol import Columns, Verdicts
from state.keys import PackedKeys
from streams import scores
from streams.agents.labels import Label, identities_of
from streams.agents.population import HOUR
from streams.challengers import RIVERS, by_name
from streams.decoding.fields import hashes
from streams.partition import Origins
from streams.training import Ripening, Rows, Trainer

NAMES = ("amount", "gap", "share")
DELAY = 30  # hours
START = 420_000  # the first hour of the stream


class Stream:
    """Three days of scored transactions, some of them frauds; labels come exactly as late as the delay unless a test says otherwise."""

    def __init__(self, n=900, hours=72, seed=1):
        rng = np.random.default_rng(seed)
        self.hours = hours
        at = np.sort(rng.integers(START * HOUR, (START + hours) * HOUR, n))
        vectors = rng.normal(size=(n, 3)) * [100.0, 1.0, 0.1]
        self.fraud = rng.random(n) < 1 / (1 + np.exp(-(2 * vectors[:, 1] - 3)))
        self.rows = Rows(at, rng.permutation(n) + 10**12, rng.integers(-1, 9, n), vectors)

    def labels(self, late=DELAY):
        for row in np.flatnonzero(self.fraud).tolist():
            yield Label(int(self.rows.number[row]), True, int(self.rows.at[row]) + late * HOUR)

    def hour(self, hour):
        return self.rows.take(self.rows.at // HOUR == hour)


def trainer(**changed):
    return Trainer(NAMES, **{"delay_hours": DELAY, "relabel_hours": 100, "days": (1, 2)} | changed)


def run(made, stream, labels=None, cuts=None, shuffle=None, twice=False, every=1, until=None):
    """Feed hour by hour, each hour's rows dealt to partitions and in any order; return all that was published."""
    for label in stream.labels() if labels is None else labels:
        made.label(label)
    ripening, told = Ripening(3), {}
    rng = np.random.default_rng(shuffle)
    for hour in range(START, START + stream.hours + DELAY + 2):
        rows = stream.hour(hour)
        if shuffle is not None:
            rows = rows.take(rng.permutation(len(rows)))
        pieces = np.array_split(np.arange(len(rows)), cuts or 1)
        for piece in [*pieces, *(pieces if twice else [])]:
            ripening.add(rows.take(piece))
        if (hour - START) % every == 0 or hour == START + stream.hours + DELAY + 1:
            found = step(made, stream, hour, ripening)
            if found:
                told[hour] = found
        if hour == until:
            break
    return told


def step(made, stream, hour, ripening):
    wanted = made.wanted(hour)
    again = Rows.join([stream.hour(then) for then in wanted], 3)
    return made.advance(hour, ripening.take(made.ripe_before(hour)), again)


def encoded(told):
    return msgspec.json.encode(told)


@pytest.fixture(scope="module")
def stream():
    return Stream()


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([1, 4, 12]), st.integers(0, 99), st.booleans())
def test_partitions_order_of_reading_and_repeats_change_nothing(stream, partitions, seed, twice):
    reference = encoded(run(trainer(), stream))
    assert encoded(run(trainer(), stream, cuts=partitions, shuffle=seed, twice=twice)) == reference


def test_hours_in_which_nobody_asked_change_nothing(stream):
    one, other = trainer(), trainer()
    each, some = run(one, stream), run(other, stream, every=7)
    assert encoded(one.version()) == encoded(other.version())
    assert all(encoded(found["shares"]) == encoded(each[hour]["shares"]) for hour, found in some.items())


def test_everything_is_learned_once_in_the_order_of_time_and_number(stream):
    made = trainer()
    run(made, stream)
    order = np.lexsort((stream.rows.number, stream.rows.at))
    by_hand = trainer().model
    by_hand.learn(stream.rows.vectors[order], stream.fraud[order].astype(int))
    assert made.model.weights.tobytes() == by_hand.weights.tobytes()
    assert (made.learned, made.frauds) == (len(stream.rows), int(stream.fraud.sum()))


def test_the_order_of_labels_changes_nothing(stream):
    labels = [*stream.labels(), *[Label(n, False, 0) for n in range(5)]]
    reference = encoded(run(trainer(), stream))
    assert encoded(run(trainer(), stream, labels[::-1])) == reference
    assert encoded(run(trainer(), stream, labels + labels)) == reference


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 899), st.integers(0, DELAY - 1), st.booleans())
def test_a_label_younger_than_the_delay_changes_nothing(stream, row, age, fraud):
    """Whatever was said of a transaction in the meantime, what is published before its delay is over stays to the last byte."""
    reference = run(trainer(), stream)
    early = Label(int(stream.rows.number[row]), fraud, int(stream.rows.at[row]) + age * HOUR)
    ripe = int(stream.rows.at[row]) // HOUR + 1 + DELAY
    told = run(trainer(), stream, [*stream.labels(), early])
    assert all(encoded(told[hour]) == encoded(reference[hour]) for hour in reference if hour < ripe)
    flipped = run(trainer(), stream, [label for label in stream.labels() if label.transaction != early.transaction])
    assert all(encoded(flipped[hour]) == encoded(reference[hour]) for hour in reference if hour < ripe)


def test_without_a_label_a_matured_transaction_is_genuine(stream):
    made = trainer()
    run(made, stream, labels=[])
    assert (made.learned, made.frauds) == (len(stream.rows), 0)
    assert made.shares.at(START + 50)[0].tolist() == []


def test_the_later_of_two_labels_holds_however_they_come(stream):
    row = int(np.flatnonzero(~stream.fraud)[3])
    number, at = int(stream.rows.number[row]), int(stream.rows.at[row])
    reference = encoded(run(trainer(), stream))
    taken_back = [Label(number, True, at + HOUR), Label(number, False, at + 2 * HOUR)]
    for labels in (taken_back, taken_back[::-1], taken_back * 2):
        assert encoded(run(trainer(), stream, [*labels, *stream.labels()])) == reference


def test_a_relabelled_transaction_counts_once(stream):
    """A third of the frauds come to light a day after they were learned as genuine; one false alarm is taken back."""
    late, made, right = [*stream.labels(DELAY + 24)], trainer(), trainer()
    labels = [late[n] if n % 3 == 0 else label for n, label in enumerate(stream.labels())]
    wrong = int(stream.rows.number[~stream.fraud][9])
    at = int(stream.rows.at[~stream.fraud][9])
    labels += [Label(wrong, True, at + DELAY * HOUR), Label(wrong, False, at + (DELAY + 20) * HOUR)]
    run(made, stream, labels)
    ripening = Ripening(3)
    for hour in range(START + stream.hours + DELAY + 2, START + stream.hours + DELAY + 40):
        last = step(made, stream, hour, ripening)
    told = run(right, stream)
    assert (made.learned, made.frauds, made.lost) == (right.learned, right.frauds, 0)
    assert made.model.count == right.model.count
    assert made.model.mean.tobytes() == right.model.mean.tobytes()
    for hour in range(START + stream.hours + DELAY + 2, START + stream.hours + DELAY + 40):
        reference = step(right, stream, hour, ripening)
    assert last["shares"] == reference["shares"]
    assert told


def test_what_changes_when_its_features_are_gone_is_counted(stream):
    made = trainer()
    run(made, stream, labels=[])
    hour = START + stream.hours + DELAY + 3
    made.label(Label(int(stream.rows.number[-1]), True, hour * HOUR))
    assert made.wanted(hour) == {int(stream.rows.at[-1]) // HOUR: [int(stream.rows.number[-1])]}
    made.advance(hour, Rows.join([], 3))
    assert made.lost == 1
    made.advance(hour + 99, Rows.join([], 3))
    made.label(Label(int(stream.rows.number[0]), True, (hour + 99) * HOUR))
    assert made.wanted(hour + 99) == {}  # after so long nothing changes any more


def test_rows_that_come_after_their_hour_was_learned_are_learned_once(stream):
    made, ripening = trainer(), Ripening(3)
    run(made, stream, until=START + 60)
    late = Rows(stream.rows.at[:4], stream.rows.number[:4] + 10**6, stream.rows.merchant[:4], stream.rows.vectors[:4])
    before = made.learned
    for hour in (START + 61, START + 62):
        ripening.add(late)
        ripening.add(stream.rows.take(slice(0, 4)))  # known
        ripening.add(stream.hour(hour - DELAY - 1))
        step(made, stream, hour, ripening)
    new = sum(len(stream.hour(hour - DELAY - 1)) for hour in (START + 61, START + 62))
    assert made.learned == before + 4 + new


@settings(max_examples=10, deadline=None)
@given(st.integers(DELAY + 1, 100))
def test_a_trainer_that_dies_loses_no_label(stream, died):
    """Another goes on from the last version and the logs, and publishes what the first would have: to the last byte."""
    labels = [label if n % 4 else label._replace(at=label.at + 15 * HOUR) for n, label in enumerate(stream.labels())]
    reference = run(trainer(), stream, labels)
    published = {hour: found for hour, found in reference.items() if hour <= START + died and "model" in found}
    if not published:
        return
    version = msgspec.json.decode(msgspec.json.encode(published[max(published)]["model"]))
    second = trainer()
    second.resume(version)
    told = run(second, stream, labels)
    after = [hour for hour in reference if hour > version["version"] + DELAY]
    assert {hour: encoded(told[hour]) for hour in after} == {hour: encoded(reference[hour]) for hour in after}
    assert second.frauds == int(stream.fraud.sum()) - sum(
        n % 4 == 0 and label.at > (START + stream.hours + DELAY + 1) * HOUR for n, label in enumerate(labels)
    )


def scored(n=20):
    """A batch of cards as a fold hands it on."""
    rng = np.random.default_rng(3)
    keys = PackedKeys.pack([f"card-{i % 3}" for i in range(n)])
    ids = [f"t{i}" for i in range(n)]
    columns = Columns(
        keys,
        START * HOUR + np.arange(n) * 1000,
        {"transaction": hashes(PackedKeys.pack(ids)), "merchant": rng.integers(-1, 2**62, n), "amount": np.arange(n)},
    )
    verdicts = Verdicts.blank(n)
    verdicts.evidence = {name: rng.normal(size=n) for name in FEATURES}
    verdicts.reason[4] = 1  # late: no features
    for column in verdicts.evidence.values():
        column[4] = np.nan
    return columns, verdicts, ids


@pytest.mark.parametrize("packed", [(), FEATURES], ids=["plain", "packed"])
def test_rows_of_the_score_log_are_the_folds_to_the_bit(packed):
    columns, verdicts, ids = scored()
    reference = Rows.of_verdicts(columns, verdicts)
    origins = Origins.of_record("card.transactions", 0, np.arange(20), np.zeros(20, np.int64))
    read = [Rows.of_record(msgspec.json.decode(value)) for value in scores.records("cards", 0, 19, columns, origins, verdicts, packed)]
    computed = Rows.join(read, len(FEATURES))
    for name in ("at", "number", "merchant", "vectors"):
        assert getattr(computed, name).tobytes() == np.ascontiguousarray(getattr(reference, name)).tobytes()
    assert len(reference) == 19
    assert reference.number[2] == identities_of(["card-2"], [ids[2]])[0]


def test_packed_vectors_are_read_as_the_plain_columns_they_stand_for():
    columns, verdicts, _ = scored()
    verdicts.evidence[FEATURES[0]][7] = np.inf
    origins = Origins.of_record("card.transactions", 0, np.arange(20), np.zeros(20, np.int64))
    reference, computed = (
        [scores.decoded(value) for value in scores.records("cards", 0, 19, columns, origins, verdicts, packed)] for packed in ((), FEATURES)
    )
    assert computed == reference
    assert computed[0][FEATURES[0]][7] == "inf"


def test_a_record_of_other_features_teaches_nothing():
    columns, verdicts, _ = scored()
    origins = Origins.of_record("card.transactions", 0, np.arange(20), np.zeros(20, np.int64))
    for packed in ((), FEATURES):
        (value,) = scores.records("cards", 0, 19, columns, origins, verdicts, packed)
        told = msgspec.json.decode(value)
        assert Rows.of_record(told, (*FEATURES, "another")) is None
        fewer = Rows.of_record(told, FEATURES[3:1:-1])
        np.testing.assert_array_equal(fewer.vectors, Rows.of_record(told).vectors[:, [3, 2]])


def test_challengers_predict_before_they_learn_and_are_measured_beside_the_champion():
    pytest.importorskip("river")
    stream = Stream(n=400)
    made = trainer(challengers=by_name(["naive_bayes", "logistic_regression"], NAMES))
    run(made, stream)
    found = made.scoreboard.measures()
    assert list(found) == ["champion", "naive_bayes", "logistic_regression"]
    assert {each["transactions"] for each in found.values()} == {400}
    assert {each["frauds"] for each in found.values()} == {int(stream.fraud.sum())}
    assert all(each["roc_auc"] > 0.65 for each in found.values())
    flipped = Stream(n=400)
    flipped.fraud[-1] ^= True
    other = trainer(challengers=by_name(["naive_bayes"], NAMES))
    run(other, flipped)
    assert other.scoreboard._said["naive_bayes"][-1].tolist() == made.scoreboard._said["naive_bayes"][-1].tolist()
    with pytest.raises(ValueError, match="'gradient' is none; wanted some of forest"):
        by_name(["gradient"], NAMES)


def test_a_trainers_own_defaults_are_those_of_the_file():
    cards, ours = load(None, environment={}).cards, Trainer()
    assert (cards.label_delay_hours, cards.relabel_hours) == (ours.delay_hours, ours.relabel_hours)
    assert cards.learning_rate == ours.model.rate
    assert cards.challengers == ()
    assert tuple(RIVERS) == MODELS


def test_bad_settings_are_refused_by_name():
    with pytest.raises(ValueError, match="delay_hours = 0"):
        trainer(delay_hours=0)
    with pytest.raises(ValueError, match="relabel_hours = -1"):
        trainer(relabel_hours=-1)
