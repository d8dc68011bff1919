"""Nothing that is read can execute: no module of ours loads pickles in any form, or turns text into code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.test_layers import OURS, ROOT, imported, modules

# Whatever these read may run anything.
LOADERS = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
    "yaml",
    "xmlrpc",
    "code",
    "codeop",
    "runpy",
}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "to_pickle", "loadtxt", "memmap", "from_pickle", "fromregex"}  # of numpy and others


def called(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and name of every call, with `allow_pickle` where it is not plainly False."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in CALLS:
            found.append((node.lineno, node.func.id))
        if isinstance(node.func, ast.Attribute):
            numpys = isinstance(node.func.value, ast.Name) and node.func.value.id in ("np", "numpy")
            if node.func.attr in METHODS or (numpys and node.func.attr in ("load", "save", "savez")):
                found.append((node.lineno, node.func.attr))
        found += [
            (node.lineno, "allow_pickle")
            for keyword in node.keywords
            if keyword.arg == "allow_pickle" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        ]
    return found


@pytest.mark.parametrize("package", OURS)
def test_nothing_is_unpickled_and_no_text_becomes_code(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} has {name}"
        for path in modules(package)
        for line, name in [
            *((line, name) for line, name in imported(path) if LOADERS & set(name.split("."))),
            *called(ast.parse(path.read_text(encoding="utf-8"))),
        ]
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "numpy.savez(f, a)",
        "eval('1')",
        "exec(code)",
        "pd.read_pickle(f)",
        "open(f, allow_pickle=x)",
    ],
)
def test_what_would_be_is_found(text: str) -> None:
    assert called(ast.parse(text))


def test_so_is_an_import(tmp_path: Path) -> None:
    wrong = [name for name in ("pickle", "numpy.lib.npyio", "sklearn.externals.joblib", "marshal") if LOADERS & set(name.split("."))]
    assert wrong == ["pickle", "sklearn.externals.joblib", "marshal"]
