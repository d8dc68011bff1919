"""A fresh clone in an empty directory reaches the end of the README's two commands."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_fresh_clone_demonstrates_and_tests_itself(tmp_path):
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is nothing to clone")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV", "NUMBA_CACHE_DIR")}

    def make(*arguments):
        return subprocess.run(["make", *arguments], cwd=clone, env=environment, capture_output=True, text=True, timeout=1800, check=False)

    shown = make("demo", "ARGS=--headless --seconds 15")
    assert shown.returncode == 0, shown.stderr
    last = json.loads(shown.stdout.splitlines()[-1])
    assert all(count >= 1 for count in last["alerts"].values())
    assert "Nothing to be done" in make("install").stdout  # it is current
    tested = make("test")
    assert tested.returncode == 0, tested.stdout[-5000:]
    assert " passed" in tested.stdout
