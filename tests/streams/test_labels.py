from __future__ import annotations

import msgspec
import pytest

from state.keys import PackedKeys
from streams.agents.labels import Label, Labels, Unreadable, identities, identities_of, read
from streams.agents.population import HOUR
from streams.decoding.fields import hashes


def record(**changed):
    told = {"card_id": "c1", "transaction_id": "t1", "label": 1, "at": "2024-01-31T12:00:00Z"} | changed
    return msgspec.json.encode({name: value for name, value in told.items() if value is not None})


def test_a_record_is_read():
    number = int(identities_of(["c1"], ["t1"])[0])
    assert read(record()) == Label(number, True, 1_706_702_400_000_000)
    assert read(record(label=False, at=1.5)) == Label(number, False, 1_500_000)
    assert read(record(note="from the bank", label=True)).fraud


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"\xff",
        record(label=2),
        record(label="fraud"),
        record(label=None),
        record(at="yesterday"),
        record(at=1e300),
        record(card_id=7),
        record(v=2),
    ],
)
def test_what_cannot_be_read_is_refused(value):
    with pytest.raises(Unreadable):
        read(value)


def test_a_transaction_is_known_by_its_card_and_its_id():
    cards, ids = ["a", "b", "a", "ä"], ["1", "1", "2", "1"]
    numbers = identities_of(cards, ids)
    assert len(set(numbers.tolist())) == 4
    assert (numbers >= 0).all()
    packed = PackedKeys.pack([card.encode() for card in cards])
    assert identities(packed, hashes(PackedKeys.pack([text.encode() for text in ids]))).tolist() == numbers.tolist()


def test_a_label_takes_effect_in_the_hour_that_reaches_it():
    labels = Labels()
    labels.add(Label(5, True, 10 * HOUR + 1))
    labels.add(Label(6, True, 10 * HOUR))
    assert labels.take_effect(9) == []
    assert labels.take_effect(10) == [6]
    assert not labels.fraud(5)
    assert labels.take_effect(12) == [5]
    assert labels.fraud(5)
    assert labels.take_effect(12) == []


def test_the_same_label_twice_is_no_news():
    labels = Labels()
    for _ in range(2):
        labels.add(Label(5, True, HOUR))
        told = labels.take_effect(1)
    assert told == []
    assert len(labels) == 1


def test_of_one_moment_the_fraud_holds():
    for order in ((True, False), (False, True)):
        labels = Labels()
        for fraud in order:
            labels.add(Label(5, fraud, HOUR))
        labels.take_effect(1)
        assert labels.fraud(5)


def test_labels_of_long_ago_are_forgotten():
    labels = Labels()
    labels.add(Label(5, True, HOUR))
    labels.take_effect(1)
    labels.forget(1)
    assert len(labels) == 1
    labels.forget(2)
    assert len(labels) == 0
