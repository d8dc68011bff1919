"""The whole path of card transactions through `nilometer backtest`, by CPU time of the fold, on the handbook's labelled transactions.

``python -m tests.bench.cards --rounds 3`` prints events per CPU-second of the fold (what is learned besides and what is written to
`scores.parquet` are not of it: see `events_per_cpu_second` in `report.json`). ``--against FOLDER`` folds with another checkout in turn
and says whether alerts, cuts and scores are the same bytes; ``--unlabelled`` leaves the labels out, so that nothing is learned and few
alert. The handbook's file is looked for as the tests do: in `$NILOMETER_DATA`, then beside the repository in `shared/data`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq

from tests.papers.aggregation import handbook, online

HERE = Path(__file__).parents[2]
COMPARED = ("alerts.jsonl", "cuts.jsonl", "scores.parquet")
ONE_CORE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def transactions(folder: Path, labelled: bool) -> Path:
    """The handbook's transactions as a file that `backtest` reads."""
    data = Path(os.environ.get("NILOMETER_DATA", HERE.parent / "shared" / "data"))
    file = folder / "handbook.parquet"
    online.write(handbook.read(data / handbook.FILE), file)
    if not labelled:
        pq.write_table(pq.read_table(file).drop_columns(["label"]), file)
    return file


def folded(checkout: Path, file: Path, out: Path) -> tuple[dict[str, Any], str]:
    """The report of a checkout's backtest, and a digest of what it wrote."""
    command = [sys.executable, "-m", "streams.cli.main", "backtest", "cards", str(file), "--out", str(out)]
    surroundings = {**os.environ, **ONE_CORE, "PYTHONPATH": str(checkout)}
    subprocess.run(command, cwd=checkout, env=surroundings, check=True, stdout=subprocess.DEVNULL)
    digest = hashlib.sha256()
    for name in COMPARED:
        with (out / name).open("rb") as written:
            digest.update(hashlib.file_digest(written, "sha256").digest())
    report: dict[str, Any] = msgspec.json.decode((out / "report.json").read_bytes())
    return report, digest.hexdigest()[:16]


def main() -> None:
    """Fold in turn, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="folder of another checkout")
    parser.add_argument("--unlabelled", action="store_true")
    chosen = parser.parse_args()
    checkouts = [HERE] if chosen.against is None else [chosen.against.resolve(), HERE]
    found: dict[Path, list[int]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        file = transactions(Path(folder), not chosen.unlabelled)
        for number in range(chosen.rounds + 1):
            for checkout in checkouts:
                report, digest = folded(checkout, file, Path(folder) / "out")
                rate = report["events_per_cpu_second"]
                said = f"{rate:>9,} events/s of the fold's CPU; {report['alert_units']:,} of {report['events']:,} alert; wrote {digest}"
                if number:  # the first may have compiled
                    found[checkout].append(rate)
                    print(f"{checkout}: {said}; load {os.getloadavg()[0]:.1f}", flush=True)
    for checkout, rates in found.items():
        print(f"{checkout}: median {np.median(rates):,.0f}, best {max(rates):,}")


if __name__ == "__main__":
    main()
