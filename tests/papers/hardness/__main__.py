"""`make papers PAPER=hardness`: what calibration promises, and what becomes of it on streams and on data of the paper's kinds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.papers.hardness import tables

README = Path(__file__).with_name("README.md")
HEAD = """# Calibrated anomaly detection for mitigating hardness bias

A. Deng, A. Goodge, L. Y. Ang, B. Hooi, *CADET*, IJCAI 2022. Everything here comes out of `make papers PAPER=hardness ARGS=--write`.
The paper's Tables 1 and 2 are not public (they are in a supplement), so nothing here stands beside them. ε = 5 % unless said.
"""


def main() -> int:
    """Print the tables; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="make papers PAPER=hardness", description=__doc__)
    parser.add_argument("--table", choices=[*tables.TABLES, "all"], default="all", help="one of them (all)")
    parser.add_argument("--write", action="store_true", help="write the tables to README.md beside this command")
    options = parser.parse_args()
    text, bars = [HEAD], {}
    for name, (title, make) in tables.TABLES.items():
        if options.table in (name, "all"):
            lines, held = make()
            text += [f"## {title}", "", *lines, ""]
            bars.update(held)
    text += ["## Held to", "", *(f"- {'yes' if held else '**no**'}: {bar}" for bar, held in bars.items()), ""]
    sys.stdout.write("\n".join(text))
    if options.write:
        README.write_text("\n".join(text))
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
