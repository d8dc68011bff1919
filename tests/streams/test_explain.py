"""`nilometer explain`: from the alert alone, for every stream and test; in a terminal and in a file."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cli.main import main
from streams.errors import UserError
from streams.explained import plot, terminal, words
from streams.explained.find import find
from streams.explained.pictures import Counts, Curves, Scale, Table, Weights, pictures

DRAWN = {
    ("sensors", "shape"): [Curves],
    ("sensors", "amplitude"): [Curves],
    ("sensors", "regime"): [Scale],
    ("sensors", "silent"): [Scale],
    ("cards", "unusualness"): [Weights],
    ("cards", "cost"): [Weights, Weights],
    ("employees", "digits"): [Counts, Table],
    ("employees", "onset"): [Counts, Table],
    ("employees", "band"): [Counts, Counts, Table],
    ("employees", "repeats"): [Counts, Counts, Table],
    ("employees", "period"): [Counts, Table],
    ("errors", "error"): [Scale],
    ("errors", "hardness"): [Scale],
    ("errors", "drift"): [Scale],
}
CHART = 10  # rows


def evidence_of(stream, test):
    """What the detectors write (its names are checked against real alerts by the demo's test)."""
    if stream == "sensors" and test in ("shape", "amplitude"):
        x = np.linspace(0.0, 6.28, 75)
        return {
            "distance": 8.1, "threshold": 4.0,
            "mean": 10.0, "sd": 0.5, "level": 10.0, "spread": 1.0, "largest_deviation_at": 40, "every": 1,
            "length": 75, "started": "2026-01-01T00:00:00Z", "subsequence": (10 + 0.5 * np.cos(3 * x)).tolist(),
            "normal": (10 + 0.5 * np.sin(x)).tolist(),
        }  # fmt: skip
    if test == "regime":
        return {"old_usual": 0.5, "old_line": 5.0, "new_distance": 0.6, "old_distance": 11.0}
    if test == "silent":
        return {"usual_interval": 60.0, "silent_for": 1_250.0}
    if stream == "cards":
        names = ["amount", "surprise_amount", "surprise_mode", "surprise_gap", "night", "own_count"]
        return {
            "rule": "cost" if test == "cost" else "epsilon", "model_version": 7, "fraud_probability": 0.9, "expected_loss": 90.0,
            "amount": "99.00", "usual_amount": "20.00", "spread": "5.00", "mode": "online", "mode_share": 0.25, "gap_seconds": 3_700,
            "usual_gap_seconds": 90_000.0, "unusualness": 9.0, "contributions": {"night": 1.5, "own_count": -0.5} if test == "cost" else {},
            "features": dict(zip(names, [9_900.0, 7.0, 1.4, 0.6, 1.0, 12.0], strict=True)),
        }  # fmt: skip
    if stream == "employees":
        counts = {"observed": [5, 4, 2, 2, 1, 0, 0, 0, 9], "expected": [7.0, 4.0, 2.9, 2.2, 1.7, 1.5, 1.3, 1.1, 1.2]}
        posting = {
            "amount": "908.74",
            "posting": 23,
            "at": "2015-01-04T09:34:29Z",
            "topic": "employee.postings",
            "partition": 1,
            "offset": 9,
        }
        of_all = {"in_place": 9, "of": 23, "expected_in_place": 1.2, "distinct_amounts": 23, "driving_postings": [posting]}
        return {
            **counts, **of_all, "of_late": {**counts, "band": [3.0, 0.5]}, "digit": None if test in ("band", "repeats") else 9,
        }  # fmt: skip
    return {"error": 1.4, "hardness": 0.9, "quantile_25": 0.5, "quantile_50": 0.6, "quantile_75": 0.8, "quantile_95": 1.0}


def alert(stream, test, evidence=None, **more):
    named = "unusualness" if stream == "cards" else test
    data = {
        "stream": stream, "key": "it-1", "at": "2026-01-01T00:01:14Z", "test": named, "phase": "opened", "severity": "warning",
        "episode": {"id": "abcdef0123456789", "report": 0, "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:01:14Z", "units": 1,
                    "unit": "block"},
        "score": 8.1, "threshold": 20.0, "p_value": 0.01, "e_value": 5.0, "budget": {"epsilon": 0.01}, "unit": "block", "basis": "own",
        "guarantee": "about epsilon", "compared_with": "its own past", "reasons": ["It is strange.", "Very strange."],
        "evidence": evidence_of(stream, test) if evidence is None else evidence,
        "audit": {"build": "nilometer 1", "configuration": "c0ffee", "partition": 0, "last_cut": None},
        "origin": {"topic": "a.topic", "partition": 2, "offset": 77, "index": 0}, **more,
    }  # fmt: skip
    return {"id": "abcdef0123456789", "data": data}


def page(made, width=100):
    return "\n".join(line.plain for line in words.explained(made, width))


def command(*arguments, stdin=b"", code=0, width="100"):
    said, wrong = io.StringIO(), io.StringIO()
    with (
        mock.patch("sys.stdin", mock.Mock(buffer=io.BytesIO(stdin))),
        mock.patch.dict("os.environ", {"COLUMNS": width}),
        redirect_stdout(said),
        redirect_stderr(wrong),
        pytest.raises(SystemExit) as end,
    ):
        main(["explain", *map(str, arguments)])
    assert (end.value.code or 0) == code, wrong.getvalue()
    return said.getvalue() + wrong.getvalue()


@pytest.mark.parametrize(("stream", "test"), DRAWN)
def test_every_test_of_every_stream_is_told_and_drawn_from_the_alert_alone(stream, test, tmp_path):
    made = alert(stream, test)
    assert [type(picture) for picture in pictures(made)] == DRAWN[stream, test]
    for width in (40, 66, 80, 200):
        text = page(made, width)
        assert "It is strange." in text
        assert "a.topic, partition 2, offset 77" in " ".join(text.split())
        assert f"nilometer judge {stream} it-1 abcdef0123456789 confirmed|cleared" in text
        assert all(len(line) <= max(width, 66) for line in text.splitlines() if "judge" not in line)
    plot.save(made, tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_large_numbers_have_their_thousands_apart_and_what_is_copied_has_not():
    crowded = evidence_of("employees", "band") | {"of": 12_345, "in_place": 2_345, "expected_in_place": 1_234.5}
    made = alert("employees", "band", crowded, budget={"reviews": 5_000, "alpha": 1_666.7}, threshold=12_000.0)
    made["data"]["origin"]["offset"] = 1_234_567
    made["data"]["episode"]["units"] = 4_321
    text = " ".join(page(made, 120).split())
    said = ("of 12,345", "2,345 expected 1,234.5", "reviews 5,000, alpha 1,667", "so far 4,321", "threshold 12,000", "offset 1234567")
    assert all(each in text for each in said), text


def test_curves_stand_where_the_numbers_are():
    readings, normal = [0.0] * 50 + [1.0] * 50, [0.0] * 100
    lines = terminal.drawn(Curves("title", readings, normal, 1, 100, "from", "to"), 60)[1:]
    rows = [line.plain for line in lines[:CHART]]
    columns = slice(rows[0].index("┤") + 1, None)
    dots = [[character >= "⠁" and character <= "⣿" for character in row[columns]] for row in rows]
    assert [any(row) for row in dots[:1]] == [True]
    assert all(dots[-1][:20])
    assert not any(dots[-1][-20:])
    assert all(dots[0][-20:])
    assert rows[0].split("┤")[0].strip() == "1"
    assert rows[-1].split("┤")[0].strip() == "0"
    apart = lines[CHART].plain[columns]
    assert set(apart[:20]) == {" "}
    assert set(apart[-20:]) == {"█"}


def test_a_bar_is_as_long_as_its_count_and_the_mark_stands_at_what_is_expected():
    one, two, _ = (line.plain for line in terminal.drawn(Counts("title", ["1", "2"], [34.0, 17.0], [17.0, 34.0]), 100)[1:])
    assert one.count("█") == terminal.BAR - 1  # the mark hides one
    assert one.index("┃") == one.index("█") + 17
    assert two.count("█") == 17
    assert two.index("┃") == two.index("█") + terminal.BAR - 1


def test_an_amplitude_is_drawn_beside_the_model_at_its_own_size():
    (curves,) = pictures(alert("sensors", "amplitude"))
    assert np.ptp(curves.normal) == pytest.approx(2.0, abs=0.01)
    (curves,) = pictures(alert("sensors", "shape"))
    assert np.ptp(curves.normal) == pytest.approx(1.0, abs=0.01)


def test_what_steers_a_terminal_is_not_printed():
    made = alert("sensors", "shape", key="p\x1b[2J\x07", reasons=["\x1b]0;title\x07"])
    assert "\x1b" not in page(made)
    assert "\x07" not in page(made)


def test_evidence_of_another_build_is_left_undrawn_and_the_rest_is_told():
    assert "It is strange." in page(alert("sensors", "shape", evidence={"something": "else"}))
    assert "It is strange." in page(alert("cards", "unusualness", evidence={"features": None}))


@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=200), st.integers(20, 200))
def test_any_readings_can_be_drawn(readings, width):
    lines = terminal.drawn(Curves("t", readings, readings[::-1], 1, len(readings), "a", "b"), width)
    assert len(lines) == 1 + CHART + 3


def test_the_end_of_an_episode_points_to_its_beginning():
    made = alert("errors", "error", phase="closed")
    del made["data"]["evidence"], made["data"]["origin"], made["data"]["compared_with"]
    assert "nilometer explain abcdef0123456789" in page(made)
    with pytest.raises(UserError, match="nothing to draw"):
        plot.save(made, __import__("pathlib").Path("out.png"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "alerts.jsonl"
    closing = alert("sensors", "shape", phase="closed")
    closing["id"] += ".1"
    del closing["data"]["evidence"]
    another = alert("sensors", "silent")
    another["id"] = "abcdef9999999999"
    path.write_text("\n".join(["not json", '{"id": "abcdef0123456789"}', *map(json.dumps, (alert("sensors", "shape"), closing, another))]))
    return path


def test_an_alert_is_found_by_its_id_or_how_that_begins(file):
    assert "Very strange." in command("abcdef0123456789", "--alerts", file)
    assert "closed" in command("abcdef0123456789.1", "--alerts", file).splitlines()[0]
    assert "opened" in command("abcdef01", "--alerts", file).splitlines()[0]
    assert "2 episodes begin so (abcdef0123456789, abcdef9999999999)" in command("abcdef", "--alerts", file, code=2)
    assert "no such alert in" in command("fedcba", "--alerts", file, code=2)
    assert "its first 6 characters" in command("abc", "--alerts", file, code=2)
    assert "No such file" in command("abcdef", "--alerts", file.with_name("none"), code=2)


def test_an_alert_may_come_from_stdin(file):
    text = json.dumps(alert("sensors", "shape"), indent=1).encode()
    assert "Very strange." in command("-", stdin=text)
    assert "Very strange." in command("-", stdin=file.read_bytes().split(b"\n", 2)[2])
    assert "stdin holds no alert" in command("-", stdin=b"{}", code=2)


def test_plot_says_what_it_wants(file, tmp_path):
    assert "wanted a file that ends with .png" in command("abcdef01", "--alerts", file, "--plot", tmp_path / "out.doc", code=2)
    with mock.patch.dict(sys.modules, {"matplotlib.figure": None}):
        assert "pip install 'nilometer[plot]'" in command("abcdef01", "--alerts", file, "--plot", tmp_path / "out.png", code=2)
    assert "drawn into" in command("abcdef01", "--alerts", file, "--plot", tmp_path / "out.svg")
    assert b"<svg" in (tmp_path / "out.svg").read_bytes()


def test_in_a_terminal_there_is_colour_and_in_a_pipe_there_is_none(file):
    arguments = [sys.executable, "-m", "streams.cli.main", "explain", "abcdef01", "--alerts", str(file)]
    piped = subprocess.run(arguments, capture_output=True, check=True, text=True)
    assert "\x1b[" not in piped.stdout
    coloured = subprocess.run(
        arguments, capture_output=True, check=True, text=True, env={**__import__("os").environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    )
    assert "\x1b[" in coloured.stdout


def test_find_reads_bytes_and_text():
    line = json.dumps(alert("sensors", "shape"))
    assert find("abcdef01", [b"\xff", line.encode()], "here") == find("abcdef01", [line], "here")
