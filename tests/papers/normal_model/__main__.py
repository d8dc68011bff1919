"""`make papers PAPER=normal_model`: tables and figures of NorM (ICDE 2020) and NormA (VLDBJ 2021) beside what the project gives."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.papers.normal_model import accuracy, critical_difference, discords, nab, several, sweeps
from tests.papers.normal_model.methods import METHODS
from tests.papers.normal_model.series import folder

HERE = Path(__file__).parent
README, FOUND, FIGURE = HERE / "README.md", HERE / "accuracy.json", HERE / "critical_difference.png"
POINTS = 100_000
HEAD = """# The Normal Model

P. Boniol, M. Linardi, F. Roncallo, T. Palpanas, *Automated Anomaly Detection in Large Sequences*, ICDE 2020 (NorM); the journal version
is *Unsupervised and Scalable Subsequence Anomaly Detection in Large Data Series*, VLDBJ 2021 (NormA). Everything here comes out of
`make papers PAPER=normal_model ARGS="--table NAME --write"`, a table at a time or `--table all` (an hour on one core, nearly all of it
the discords'). One set of defaults for all series: ℓ_NM = 3ℓ, r = 0.4, the tree cut where it saves most over up to 2√m clusters.
"""
TITLES = {
    "accuracy": "Accuracy",
    "cd": "Critical differences",
    "whole": "Whole records",
    "several": "Several normals in one series",
    "discords": "Discord series",
    "time": "Time against size and length",
    "length-sweep": "Accuracy against ℓ",
    "lnm-sweep": "Accuracy against ℓ_NM",
    "nab": "Half of NAB",
}


def measure(place: Path | None, points: int, methods: Sequence[str]) -> accuracy.Found:
    """Run the methods on all series; what is known of the others, and what is found, is kept in accuracy.json from series to series."""
    found: accuracy.Found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    for series in accuracy.papers_series(place, points):
        for method in methods:
            sys.stderr.write(f"{series.name}: {method}\n")
            found.setdefault(series.name, {}).update(accuracy.accuracy(series, [method]))
            if points == POINTS:
                FOUND.write_text(json.dumps(found, indent=1) + "\n")
    return found


def ranked() -> dict[str, dict[str, float]]:
    """Mean P@k of the methods that were run on every series."""
    found: accuracy.Found = json.loads(FOUND.read_text())
    complete = [method for method in METHODS if all(method in row for row in found.values())]
    return {name: {method: sum(row[method]["P@k"]) / len(row[method]["P@k"]) for method in complete} for name, row in found.items()}


def run(table: str, points: int, methods: Sequence[str]) -> tuple[list[str], dict[str, bool]]:
    """One table's lines, and the bars it is held to."""
    place = folder()
    if place is None and table in ("whole", "several", "discords", "nab", "length-sweep"):
        return ["Left out: no `sensors` under $NILOMETER_DATA or ../shared/data."], {}
    if table == "accuracy":
        return accuracy.report(place, measure(place, points, methods), points)
    if table == "cd":
        critical_difference.draw(ranked(), FIGURE)
        return critical_difference.report(ranked()), {}
    both: dict[str, Callable[[], tuple[list[str], dict[str, bool]]]] = {
        "whole": lambda: accuracy.whole_records(place),
        "discords": lambda: discords.report(place),
    }
    if table in both:
        return both[table]()
    lines_only: dict[str, Callable[[], list[str]]] = {
        "time": sweeps.time_report,
        "length-sweep": lambda: sweeps.length_report(place),
        "lnm-sweep": lambda: sweeps.normal_length_report(place),
        "several": lambda: several.report(place),
        "nab": lambda: nab.report(place),
    }
    return lines_only[table](), {}


def written(sections: dict[str, str]) -> str:
    """README.md with these sections in the place of the ones it holds."""
    old = re.split(r"^## (.+)\n", README.read_text() if README.exists() else "", flags=re.MULTILINE)
    every = dict(zip(old[1::2], old[2::2], strict=True)) | sections
    return HEAD + "".join(f"\n## {title}\n\n{every[title].strip()}\n" for title in TITLES.values() if title in every)


def main() -> int:
    """Print the tables; return 1 if one misses its bar."""
    parser = argparse.ArgumentParser(prog="make papers PAPER=normal_model", description=__doc__)
    parser.add_argument("--table", choices=[*TITLES, "all"], default="all", help="which (all)")
    parser.add_argument("--points", type=int, default=POINTS, metavar="N", help="of each series of the accuracy table (100000)")
    parser.add_argument("--methods", default=",".join(METHODS), help="of the accuracy table, with commas; the others as last found")
    parser.add_argument("--write", action="store_true", help="write the tables to README.md beside this command")
    options = parser.parse_args()
    if options.points < 10_000:
        parser.error("--points: wanted at least 10000")
    methods = [name.strip() for name in options.methods.split(",")] if options.methods else []
    if unknown := [name for name in methods if name not in METHODS]:
        parser.error(f"--methods: no {', '.join(unknown)}; wanted some of {', '.join(METHODS)}")
    kept = True
    for table in TITLES if options.table == "all" else [options.table]:
        lines, held = run(table, options.points, methods)
        if held:
            lines = [*lines, "", *(f"- {'held' if well else '**missed**'}: {bar}" for bar, well in held.items())]
        sys.stdout.write("\n".join([f"## {TITLES[table]}", "", *lines, "", ""]))
        sys.stdout.flush()
        kept &= all(held.values())
        if options.write:
            README.write_text(written({TITLES[table]: "\n".join(lines)}))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
