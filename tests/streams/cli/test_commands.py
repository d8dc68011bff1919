"""The command line as a user meets it: a process, what it prints, how it leaves."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.cli.main import app, main
from streams.explained.pictures import pictures

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "streams.cli.main"]


def process(*arguments):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, timeout=600, check=False)


def nilometer(*arguments):
    """The same in this process: one of its own takes seconds to import what it needs."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    return subprocess.CompletedProcess(arguments, end.value.code or 0, out.getvalue(), err.getvalue())


def test_help_names_every_command():
    said = process("--help").stdout
    for command in ("demo", "backtest", "simulate", "config"):
        assert command in said


def test_helps_lines_are_broken_by_the_terminal_and_by_nobody_else():
    def helps(of):
        yield from (command.help for command in of.registered_commands)
        for group in of.registered_groups:
            yield from helps(group.typer_instance)

    said = list(helps(app))
    assert len(said) >= 24
    assert all(text and "\n" not in paragraph for text in said for paragraph in text.split("\n\n"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backtest", "sensors", "{folder}/file.txt", "--out", "{folder}/out"], ".csv, .parquet or .jsonl"),
        (["backtest", "sensors", "{folder}/other.parquet", "--out", "{folder}/out"], "has no column sensor_id, at"),
        (["backtest", "sensors", "{folder}/good.csv", "--out", "{folder}/out", "--epsilon", "2"], "epsilon"),
        (["backtest", "sensors", "{folder}/good.csv", "--out", "{folder}/out", "--from", "soon"], "--from = soon"),
        (["backtest", "sensors", "{folder}/good.csv", "--out", "{folder}/out", "--cuts", "{folder}/file.txt"], "is no cut"),
        (["simulate", "cards", "--out", "{folder}/cards.xls"], ".csv or .parquet"),
        (["simulate", "postings", "--out", "{folder}/p.csv", "--fraudsters", "99"], "fraudsters = 99"),
        (["config", "check", "--config", "{folder}/file.txt"], "file.txt"),
        (["backtest", "sensors", "{folder}/none.csv", "--out", "{folder}/out"], "does not exist (see nilometer backtest --help)"),
        (["backtest", "sensorz", "{folder}/good.csv", "--out", "{folder}/out"], "'sensorz' is not one of"),
        (["backtest", "sensors", "{folder}/good.csv"], "Missing option '--out'"),
        (["state", "erase", "cards", "\udcff", "--yes"], "'\\udcff': wanted UTF-8 text"),
        (["backtest", "sensors", "{folder}/bad.parquet", "--out", "{folder}/out"], "is no Parquet file"),
        (["backtest", "sensors", "{folder}/label.csv", "--out", "{folder}/out"], "label = 'yes' in row 0: wanted 0 or 1"),
        (
            ["backtest", "sensors", "{folder}/good.csv", "--out", "{folder}/out", "--from", "2020-01-02", "--to", "2020-01-01"],
            "wanted a time before",
        ),
        (["backtest", "sensors", "{folder}/good.csv", "--out", "{folder}/out", "--cuts", "{folder}/minus.jsonl"], "cuts of partition -1"),
        (
            ["backtest", "employees", "{folder}/posting.csv", "--out", "{folder}/out", "--cuts", "{folder}/odd.jsonl"],
            "wanted the numbers n, mean and m2",
        ),
    ],
)
def test_a_mistake_is_told_in_a_line_without_a_traceback(tmp_path, arguments, words):
    (tmp_path / "file.txt").write_text("no file of ours")
    (tmp_path / "good.csv").write_text("sensor_id,at,value\ns,1,2.0\n")
    (tmp_path / "posting.csv").write_text("employee_id,at,amount\ne,1,2.0\n")
    (tmp_path / "label.csv").write_text("sensor_id,at,value,label\ns,1,2.0,yes\n")
    (tmp_path / "bad.parquet").write_text("no")
    (tmp_path / "minus.jsonl").write_text('{"partition": -1, "n": 0, "inputs": {}}\n')
    (tmp_path / "odd.jsonl").write_text('{"partition": 0, "n": 0, "inputs": {"population": {"mean": "x"}}}\n')
    pq.write_table(pa.table({"value": [1.0]}), tmp_path / "other.parquet")
    done = nilometer(*(argument.format(folder=tmp_path) for argument in arguments))
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_simulated_file_can_be_backtested(tmp_path):
    for stream, simulate in (
        ("sensors", ["--points", 8000, "--length", 60, "--period", 40, "--anomalies", 8]),
        ("cards", ["--days", 40]),
        ("postings", []),
    ):
        file, out = tmp_path / f"{stream}.csv", tmp_path / stream
        assert nilometer("simulate", stream, "--out", file, *simulate).returncode == 0
        name = {"postings": "employees"}.get(stream, stream)
        done = nilometer("backtest", name, file, "--out", out)
        assert done.returncode == 0, done.stderr
        report = json.loads((out / "report.json").read_text())
        rows = pq.read_table(out / "scores.parquet")
        assert report["rows"] == rows.num_rows == len(file.read_text().splitlines()) - 1
        assert rows.column_names[:8] == ["row", "key", "at", "score", "p_value", "is_alert", "not_ready", "reason"]
        assert rows["row"].to_pylist() == list(range(rows.num_rows))
        level = "alpha" if stream == "postings" else "epsilon"
        for name in ("events", "alerts", "alert_units", level, "alert_rate", "seconds", "events_per_second", "roc_auc"):
            assert name in report
        opened = [json.loads(line) for line in (out / "alerts.jsonl").read_text().splitlines()]
        assert sum(alert["data"]["phase"] == "opened" for alert in opened) == report["alerts"]


@pytest.mark.parametrize("header", ["sensor_id,at,value", "employee_id,at,amount"])
def test_a_file_without_rows_gives_files_without_rows_even_where_an_earlier_run_left_some(tmp_path, header):
    stream = "sensors" if header.startswith("sensor") else "employees"
    full, empty = tmp_path / "full.csv", tmp_path / "empty.csv"
    full.write_text(header + "\nk,1,2.5\nk,2,3.5\n")
    empty.write_text(header + "\n")
    assert nilometer("backtest", stream, full, "--out", tmp_path / "out").returncode == 0
    done = nilometer("backtest", stream, empty, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for file in (tmp_path / "out").glob("*.parquet"):
        assert pq.read_table(file).num_rows == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["events"] == 0


def test_a_file_cut_short_gives_the_same_rows(tmp_path):
    whole, short = tmp_path / "whole.csv", tmp_path / "short.csv"
    nilometer("simulate", "cards", "--out", whole, "--days", 40)
    lines = whole.read_text().splitlines(keepends=True)
    short.write_text("".join(lines[:3001]))
    for file in (whole, short):
        nilometer("backtest", "cards", file, "--out", tmp_path / file.stem)
    reference, computed = (pq.read_table(tmp_path / name / "scores.parquet") for name in ("whole", "short"))
    assert computed.equals(reference.slice(0, 3000))


def test_an_employees_backtest_can_be_repeated_by_its_own_cuts(tmp_path):
    file = tmp_path / "postings.parquet"
    nilometer("simulate", "postings", "--out", file, "--postings", 8000)
    first = nilometer("backtest", "employees", file, "--out", tmp_path / "one", "--partitions", 3)
    again = nilometer(
        "backtest", "employees", file, "--out", tmp_path / "two", "--partitions", 3, "--cuts", tmp_path / "one" / "cuts.jsonl"
    )
    assert first.returncode == again.returncode == 0, again.stderr
    for name in ("scores.parquet", "alerts.jsonl", "employees.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    report = json.loads((tmp_path / "one" / "report.json").read_bytes())
    assert "epsilon" not in report
    assert report["budget"] == {"alpha": report["alpha"], "per": "employee and accounting year"}
    employees, scores = (pq.read_table(tmp_path / "one" / name) for name in ("employees.parquet", "scores.parquet"))
    assert report["employees"] == len(employees)
    last = dict(zip(scores["key"].to_pylist(), scores["band"].to_pylist(), strict=True))
    assert dict(zip(employees["employee_id"].to_pylist(), employees["final_band"].to_pylist(), strict=True)) == last


def test_an_employees_backtest_takes_the_limits_of_a_file(tmp_path):
    file, limits = tmp_path / "postings.parquet", tmp_path / "limits.csv"
    nilometer("simulate", "postings", "--out", file, "--postings", 4000)
    named = pq.read_table(file)
    pq.write_table(named.drop_columns(["limit", "approval_limit"]), tmp_path / "bare.parquet")
    names = sorted(set(named["employee_id"].to_pylist()))
    limits.write_text("employee_id,limit,approval_limit\n" + "".join(f"{name},5000.00,1000.00\n" for name in names))
    done = nilometer("backtest", "employees", tmp_path / "bare.parquet", "--out", tmp_path / "bare", "--limits", limits)
    assert done.returncode == 0, done.stderr
    nilometer("backtest", "employees", file, "--out", tmp_path / "named")
    reference, computed = (pq.read_table(tmp_path / name / "scores.parquet", columns=["key", "band"]) for name in ("named", "bare"))
    assert computed.equals(reference)
    limits.write_text("employee_id,limit\n,5\n")
    refused = nilometer("backtest", "employees", file, "--out", tmp_path / "bad", "--limits", limits)
    assert "limits.csv, row 1: wanted an employee_id" in refused.stderr


STREAMS = {"sensors", "cards", "employees", "errors"}


def test_the_demo_alerts_on_every_stream_as_it_goes_and_ctrl_c_ends_it_with_its_summary(tmp_path):
    command = [*COMMAND, "demo", "--headless", "--seconds", "600"]
    errors = tmp_path / "stderr"
    with errors.open("w") as said, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True) as demo:
        try:
            lines, heard = [], set()
            while heard != STREAMS:  # however long a busy machine takes
                lines.append(demo.stdout.readline())
                assert lines[-1].startswith('{"specversion"'), f"it ended with alerts of {heard} only"
                heard.add(json.loads(lines[-1])["data"]["stream"])
            demo.send_signal(signal.SIGINT)
            lines += demo.stdout.read().splitlines()  # not `communicate`, which forgets what `readline` has read ahead
            demo.wait(timeout=120)
        finally:
            demo.kill()
    err = errors.read_text()
    assert demo.returncode == 0, err
    assert "Traceback" not in err
    *alerts, last = [json.loads(line) for line in lines]
    assert set(last) == {"events", "alerts", "seconds"}
    for stream in STREAMS:
        opened = [alert for alert in alerts if alert["data"]["stream"] == stream and alert["data"]["phase"] == "opened"]
        assert last["alerts"][stream] == len(opened) >= 1
        assert last["events"][stream] > 0
        assert all(alert["data"]["reasons"] and pictures(alert) for alert in opened), "`explain` has something to show of each"


def test_the_demo_ends_by_itself():
    done = process("demo", "--headless", "--seconds", "2")
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["seconds"] >= 2.0
    assert sum(last["events"].values()) > 0
