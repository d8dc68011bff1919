"""Imports point one way: streams → detectors → state, streams → config."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("streams", "detectors", "state", "config")
ALLOWED = {
    "streams": {"streams", "detectors", "state", "config"},
    "detectors": {"detectors", "state"},
    "state": {"state"},
    "config": {"config"},
}

# What a pure detector has no business with: the network, metrics, files, the clock, the process around it.
IMPURE = {
    "faust", "mode", "kafka", "aiokafka", "prometheus_client", "pyarrow", "typer", "rich", "msgspec",
    "io", "os", "pathlib", "socket", "ssl", "asyncio", "threading", "subprocess", "tempfile", "shutil", "csv", "json", "pickle",
    "time", "random", "secrets", "uuid", "logging", "sys",
}  # fmt: skip


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> list[tuple[int, str]]:
    """Line and full name of every import of a file, inside functions too; relative ones resolved."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).with_suffix("").parts
            base = ".".join(package[: len(package) - node.level]) if node.level else ""
            found.append((node.lineno, ".".join(part for part in (base, node.module or "") if part)))
    return found


@pytest.mark.parametrize("package", OURS)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for line, name in imported(path)
        if name.split(".")[0] in OURS and name.split(".")[0] not in ALLOWED[package]
    ]
    assert wrong == []


def test_detectors_know_nothing_of_kafka_metrics_files_or_the_clock() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules("detectors")
        for line, name in imported(path)
        if name.split(".")[0] in IMPURE
    ]
    assert wrong == []


def test_detectors_state_and_config_never_ask_what_time_it_is() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} calls {node.func.attr}()"
        for package in ("detectors", "state", "config")
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("now", "utcnow", "today", "monotonic")
    ]
    assert wrong == []


def test_nothing_of_ours_imports_the_tests() -> None:
    wrong = [str(path) for package in OURS for path in modules(package) for _, name in imported(path) if name.split(".")[0] == "tests"]
    assert wrong == []


def test_every_folder_of_ours_is_a_package() -> None:
    missing = [
        str(path.parent.relative_to(ROOT)) for package in OURS for path in modules(package) if not (path.parent / "__init__.py").exists()
    ]
    assert missing == []


def test_the_walk_sees_imports_inside_functions_and_relative_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.test_layers.ROOT", tmp_path)
    path = tmp_path / "detectors" / "family" / "module.py"
    path.parent.mkdir(parents=True)
    path.write_text("def f():\n    import faust.agents\n    from ..other import g\n")
    assert imported(path) == [(2, "faust.agents"), (3, "detectors.other")]
