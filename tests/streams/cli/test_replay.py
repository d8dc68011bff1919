from __future__ import annotations

import json

import pytest

from config.load import load
from streams.cli.replay import _duration, paced
from streams.decoding.tabular import read
from streams.errors import UserError

DAY = 86_400_000_000


def records(tmp_path, text, **more):
    file = tmp_path / "cards.csv"
    file.write_text("transaction_id,card_id,at,amount,label\n" + text)
    return [(key, json.loads(value)) for key, value in paced(read("cards", file, load(None, environment={})), None, lambda: None, **more)]


def test_labels_come_days_after_their_transactions(tmp_path):
    made = records(tmp_path, "t1,a,0,5.00,0\nt2,b,10,6.00,1\n", label_delay=7 * DAY)
    assert made == [
        (b"a", {"card_id": "a", "transaction_id": "t1", "label": 0, "at": "1970-01-08T00:00:00.000000Z"}),
        (b"b", {"card_id": "b", "transaction_id": "t2", "label": 1, "at": "1970-01-08T00:00:10.000000Z"}),
    ]


def test_rows_that_cannot_be_read_or_have_no_label_have_none(tmp_path):
    made = records(tmp_path, "t1,a,0,x,1\nt2,b,10,6.00,\nt3,c,20,7.00,1\n", label_delay=DAY)
    assert [label["transaction_id"] for _, label in made] == ["t3"]


def test_without_a_delay_the_rows_themselves_are_sent(tmp_path):
    assert [key for key, _ in records(tmp_path, "t1,a,0,5.00,0\nt2,b,10,x,1\n")] == [b"a", b"b"]


def test_a_delay_is_a_whole_number_of_a_unit():
    assert _duration("7d") == 7 * DAY
    assert _duration("90s") == 90_000_000
    for text in ("", "7", "d", "1.5d", "-1d"):
        with pytest.raises(UserError, match="7d, 12h"):
            _duration(text)
