"""Our commands in processes of their own, on an installation of their own."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from unittest import mock

import pytest

from streams.cli.main import main
from tests.kafka.broker import free_ports

ROOT = Path(__file__).resolve().parents[2]
PARTITIONS = 2


def nilometer(*arguments, stdout=subprocess.PIPE, **environment):
    """A command of ours in a process of its own, to be waited for or stopped."""
    return python("-m", "streams.cli.main", *arguments, stdout=stdout, **environment)


def python(*arguments, stdout=subprocess.PIPE, **environment):
    """Python in a process of its own, with our packages and the tests'."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        pipesize=1 << 20,  # who says much before anybody listens must not stand still
    )


def here(*arguments, code=0, **environment):
    """The output of a command in this process: one of its own takes seconds to import what it needs."""
    said = io.StringIO()
    with mock.patch.dict(os.environ, environment), redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert (end.value.code or 0) == code, said.getvalue()
    return said.getvalue()


def done(process, code=0, seconds=180.0):
    """Its output, when it has ended as it should."""
    try:
        output = process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"it did not end within {seconds:g} s: {(late.output or b'').decode()}") from None
    assert process.returncode == code, output
    return output


@contextmanager
def installation(kafka, stream, **more):
    """Settings of an installation of its own on the shared broker, as environment."""
    prefix = f"{stream}.{uuid.uuid4().hex[:8]}."
    section = {"employees": "BENFORD", "errors": "CALIBRATION"}.get(stream, stream.upper())
    yield {
        "NILOMETER_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "NILOMETER_KAFKA__PREFIX": prefix,
        "NILOMETER_STREAMS__PARTITIONS": str(PARTITIONS),
        "NILOMETER_STREAMS__ENABLED": f'["{stream}"]',
        f"NILOMETER_{section}__SCORES": "true",
        "NILOMETER_METRICS__PORT": str(free_ports(1)[0]),
        **more,
    }


@contextmanager
def working(environment):
    """A worker that is ready, stopped in order at the end."""
    process = nilometer("worker", **environment)
    try:
        wait_ready(process, environment)
        yield process
        process.send_signal(signal.SIGTERM)
        output = done(process)
        assert "nilometer: stopped" in output
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def parked(environment, number="1", seconds=180.0):
    """A worker that says of the only stream why partitions, this one among them, are parked; stopped in order at the end."""
    process = nilometer("worker", **environment)
    try:
        end = time.monotonic() + seconds
        reasons: dict[str, str] = {}
        while number not in reasons:
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < end, f"partition {number} is not parked"
            time.sleep(0.05)
            (reasons,) = readiness(environment).get("parked", {}).values() or ({},)
        yield reasons
        process.send_signal(signal.SIGTERM)
        done(process)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def readiness(environment):
    """What a worker's /readyz says, ready or not; nothing where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{environment['NILOMETER_METRICS__PORT']}/readyz", timeout=2) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return json.loads(refused.read())
    except OSError:
        return {}


def wait_ready(process, environment, seconds=180.0):
    end = time.monotonic() + seconds
    while True:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{environment['NILOMETER_METRICS__PORT']}/readyz", timeout=2) as answer,
        ):
            if answer.status == 200:
                return
        assert process.poll() is None, process.stdout.read()
        if time.monotonic() > end:
            why = readiness(environment)
            process.kill()
            raise AssertionError(f"not ready in {seconds:g} s: {why}\n{process.stdout.read()}")
        time.sleep(0.05)
