"""`make papers PAPER=aggregation`: the tables of Lim, Sachan and Thing (2014) beside ours, and a forest on the handbook's transactions."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from streams.simulators.cards import TABLES, read_tables
from tests.papers.aggregation import report
from tests.papers.aggregation.experiment import SUB_SAMPLINGS
from tests.papers.aggregation.handbook import FILE, SEEDS

README = Path(__file__).with_name("README.md")
HEAD = """# Conditional weighted transaction aggregation

W.-Y. Lim, A. Sachan, V. Thing, *Conditional Weighted Transaction Aggregation for Credit Card Fraud Detection*, Advances in Digital
Forensics X (2014). Everything here comes out of `make papers PAPER=aggregation ARGS=--write`: the project's simulator and aggregates,
scikit-learn's classifiers, fixed seeds. About a quarter of an hour on one core; `ARGS="--table paper"` makes a part.
"""
TITLES = {
    "paper": "Tables 4 to 9",
    "slower": "Slower fraud",
    "choices": "What the paper leaves open",
    "difficulty": "How hard the simulated frauds are",
    "handbook": "The handbook's transactions",
    "online": "The handbook's transactions, learned online",
}


def main() -> int:
    """Print the tables; return 1 if one does not come out."""
    parser = argparse.ArgumentParser(prog="make papers PAPER=aggregation", description=__doc__)
    parser.add_argument("--table", choices=TITLES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--sub-samplings", type=int, default=SUB_SAMPLINGS, metavar="N", help=f"of each data set ({SUB_SAMPLINGS})")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help=f"forests of each split ({SEEDS})")
    parser.add_argument("--tables", type=Path, metavar="FILE", help="TOML file with the paper's Tables 1-3 (amounts, holders, fraudsters)")
    parser.add_argument("--write", action="store_true", help="write the tables to README.md beside this command")
    options = parser.parse_args()
    if options.sub_samplings < 1 or options.seeds < 1:
        parser.error("wanted at least one sub-sampling and one seed")

    given = read_tables(options.tables) if options.tables else TABLES
    made: dict[str, str] = {}
    failed = False
    for table in options.table or TITLES:
        file = place()
        if table in ("handbook", "online") and file is None:
            sys.stderr.write(f"The handbook's transactions left out: no {FILE} under $NILOMETER_DATA or ../shared/data.\n")
            continue
        section = {
            "paper": lambda: report.paper(options.sub_samplings, given=given),
            "slower": lambda: report.slower(given=given),
            "choices": lambda: report.choices(given),
            "difficulty": lambda: report.simulator(given),
            "handbook": lambda file=file: report.forest(file, options.seeds),
            "online": lambda file=file: report.online(file),
        }[table]()
        made[TITLES[table]] = report.lines(TITLES[table], section)
        failed |= not all(section[1].values())
        sys.stdout.write(made[TITLES[table]] + "\n")
        sys.stdout.flush()
    if options.write:
        kept = (sections(README.read_text()) if README.exists() else {}) | made
        README.write_text("\n".join([HEAD, *(kept[title] for title in TITLES.values() if title in kept)]))
    return int(failed)


def sections(text: str) -> dict[str, str]:
    """The sections of a report by their titles, each with its heading."""
    return {part.split("\n", 1)[0]: f"## {part}".rstrip() + "\n" for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]}


def place() -> Path | None:
    """Where the handbook's transactions are."""
    folders = (os.environ.get("NILOMETER_DATA"), Path(__file__).parents[4] / "shared" / "data")
    return next((Path(folder) / FILE for folder in folders if folder and (Path(folder) / FILE).is_file()), None)


if __name__ == "__main__":
    sys.exit(main())
