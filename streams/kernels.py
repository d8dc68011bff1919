"""Compiling the kernels before the first event needs them, every stream's in a process of its own.

numba compiles one function at a time and keeps the result on disk: four processes at once take a quarter of the time of one,
and where everything is on disk already they are done in a second or two. ``python -m streams.kernels cards`` compiles one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


def compile_kernels(stream: str) -> None:
    """Fold a handful of events and freeze what comes of it, so that every kernel on the way is compiled and on disk."""
    import numpy as np

    from config.load import load
    from detectors.protocol import Columns
    from state.keys import PackedKeys
    from streams.configured import definition
    from streams.decoding import joined
    from streams.partition import Origins, run

    joined.warm()
    part = definition(stream, load()).partition(0)
    n = 4
    fields: dict[str, Any] = {name: np.ones(n, dtype) for name, dtype in part.detector.fields.items()}
    columns = Columns(PackedKeys.pack(["a"] * n), np.arange(n, dtype=np.int64), fields)
    run(part.fold(columns, Origins.of_record(part.topic, 0, np.arange(n), np.zeros(n, np.int64)), n))
    if part.detector.contribution(part.state) is not None:  # what is merged and adopted, however few events make it
        part.detector.adopt(part.state, part.detector.merged([part.detector.contribution(part.state) or {}]))
    if stream == "employees":
        from detectors.benford.warming import warm

        warm()
    part.thaw(part.freeze())


@contextmanager
def compiling(streams: Sequence[str], digests: dict[str, str] | None = None) -> Iterator[Iterator[str]]:
    """Begin to compile the kernels of these streams side by side; within, the names come as they are finished.

    What each stream's kernels say to known events (`streams.self_test`) is put into `digests`. Nothing heavy is imported here, so
    that whoever waits can import in the meantime.

    Raises
    ------
    subprocess.CalledProcessError
        Where its name would come, if one of them fails; its message is on stderr.
    """
    command = [sys.executable, "-m", "streams.kernels"]
    # In a session of their own: Ctrl-C is for us, and we end them.
    working = {
        stream: subprocess.Popen([*command, stream], start_new_session=True, stdout=subprocess.PIPE, text=True) for stream in streams
    }

    def finished() -> Iterator[str]:
        for stream, process in working.items():
            assert process.stdout is not None
            said = process.stdout.read()
            if process.wait() != 0:
                raise subprocess.CalledProcessError(process.returncode, process.args)
            if digests is not None:
                digests[stream] = said.strip()
            yield stream

    try:
        yield finished()
    finally:
        for process in working.values():
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def compile_all(streams: Sequence[str], done: Callable[[str], None]) -> None:
    """Compile the kernels of these streams and wait; `done` is told of each as it is finished. Raises as `compiling`."""
    with compiling(streams) as finished:
        for stream in finished:
            done(stream)


if __name__ == "__main__":
    from streams.self_test import digest

    compile_kernels(sys.argv[1])
    print(digest(sys.argv[1]))
