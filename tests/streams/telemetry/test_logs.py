from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.load import ConfigError, defaults, load, replaced, secrets
from streams.telemetry import logs

SECRET = "correct horse battery staple"


@pytest.fixture
def written(capsys):
    """Log under some settings, and read the lines again."""
    hooks = sys.excepthook, logs.threading.excepthook
    levels = {name: logging.getLogger(name).level for name in ("", "nilometer")}

    def begin(**of_log):
        settings = replaced(defaults(), log=of_log)
        logs.set_up(settings)
        return lambda: capsys.readouterr().err.splitlines()

    yield begin
    sys.excepthook, logs.threading.excepthook = hooks
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, logs._Stderr)]:
        root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_says_when_where_and_what(written):
    lines = written(format="json")
    logging.getLogger("streams.durable.tenures").warning("%s/%d waits", "cards", 3, extra={"stream": "cards", "partition": 3})
    (line,) = map(json.loads, lines())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "streams.durable.tenures",
        "message": "cards/3 waits",
        "stream": "cards",
        "partition": 3,
    }


def test_what_a_command_says_itself_is_never_left_out(written):
    lines = written(format="json", level="error")
    logging.getLogger("aiokafka").warning("a heartbeat failed")
    logs.say("watching cards")
    logs.say("watching cards")
    assert [json.loads(line)["message"] for line in lines()] == ["watching cards"] * 2


def test_for_a_person_it_begins_with_our_name(written, capsys):
    lines = written()
    logs.say("100% of it")
    assert lines() == ["nilometer: 100% of it"]


def test_a_line_that_comes_again_at_once_is_left_out_partition_by_partition(written):
    lines = written()
    for number in (0, 1, 0):
        logging.getLogger("streams.durable.tenures").error("%d is parked", number, extra={"stream": "cards", "partition": number})
    assert [line[-11:] for line in lines()] == ["0 is parked", "1 is parked"]


def test_what_a_command_says_of_a_partition_can_be_looked_for(written):
    lines = written(format="json")
    logs.say("alerts.cards/3@17 to dead-letters", stream="cards", partition=3)
    (line,) = map(json.loads, lines())
    assert (line["stream"], line["partition"], line["message"]) == ("cards", 3, "alerts.cards/3@17 to dead-letters")


def test_whatever_speaks_of_a_partition_says_so_beside_its_words():
    """Every call of a logger of ours that names stream and partition in its words (``%s/%d``) names them in `extra`, too."""
    root, found = Path(logs.__file__).parents[1], 0
    for path in root.rglob("*.py"):
        if path.name == "kafka_logs.py":
            continue  # reads topics of any kind, and knows of no stream
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[0] == "logger" and "%s/%d" in ast.unparse(call):
                found += 1
                assert any(each.arg == "extra" for each in call.keywords), f"{path.name}:{call.lineno}"
    assert found >= 8


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_ever_written(written, form):
    lines = written(format=form, hash_secret=SECRET)
    logging.getLogger("aiokafka").error("SASL refused %r", {"password": SECRET}, extra={"stream": SECRET})
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("streams").exception("it failed")
    logs.say(f"has failed ({SECRET!r})")
    text = "\n".join(lines())
    assert SECRET not in text
    assert text.count(logs.STRUCK_OUT) >= 3


def test_an_uncaught_exception_is_a_line_too(written):
    lines = written(format="json")
    try:
        raise RuntimeError("the model is gone")
    except RuntimeError as problem:
        sys.excepthook(type(problem), problem, problem.__traceback__)
    (line,) = map(json.loads, lines())
    assert (line["level"], line["message"]) == ("critical", "RuntimeError: the model is gone")
    assert "test_logs.py" in line["exception"]


def test_a_worker_that_finds_no_kafka_says_so_in_json_and_keeps_its_password(tmp_path):
    """The command itself, at the loudest level, against a port where nobody listens."""
    password = tmp_path / "password"
    password.write_text(SECRET + "\n")
    environment = {
        "NILOMETER_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "NILOMETER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "NILOMETER_KAFKA__SASL_USERNAME": "ann",
        "NILOMETER_KAFKA__SASL_PASSWORD_FILE": str(password),
        "NILOMETER_LOG__FORMAT": "json",
        "NILOMETER_LOG__LEVEL": "debug",
        "NILOMETER_METRICS__PORT": "0",
        "NILOMETER_STREAMS__ENABLED": '["errors"]',
    }
    root = Path(__file__).resolve().parents[3]
    process = subprocess.Popen(
        [sys.executable, "-m", "streams.cli.main", "worker"],
        env={**os.environ, **environment, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
        text=True,
    )
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if "cannot reach Kafka" in line:
            break
    process.terminate()
    said += process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 0
    lines = [json.loads(line) for line in said if line.strip()]
    assert {line["logger"] for line in lines} >= {"nilometer"}
    assert [line["message"] for line in lines if line["logger"] == "nilometer"][-1].startswith("cannot reach Kafka at 127.0.0.1:1")
    assert SECRET not in "".join(said)


def test_a_secret_may_stand_in_a_file(tmp_path):
    file = tmp_path / "secret"
    file.write_text("a b\n")
    settings = load(environment={"NILOMETER_LOG__HASH_SECRET_FILE": str(file)})
    assert settings.log.hash_secret == "a b"
    assert secrets(settings) == ["a b"]
    with pytest.raises(ConfigError, match="cannot be read") as missing:
        load(environment={"NILOMETER_LOG__HASH_SECRET_FILE": str(tmp_path / "none")})
    assert "NILOMETER_LOG__HASH_SECRET_FILE" in str(missing.value)
    with pytest.raises(ConfigError, match=r"log\.level_file: no such key; a file may only hold a secret"):
        load(environment={"NILOMETER_LOG__LEVEL_FILE": str(file)})
