"""`make papers PAPER=benford`: the tables of Winter, Schneider and Yannikos (2011) beside what the project's own functions give."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.papers.benford import census, own_parameters, purchasing_cards, synthetic

README = Path(__file__).with_name("README.md")
HEAD = """# Detecting fraud using modified Benford analysis

C. Winter, M. Schneider, Y. Yannikos, *Detecting Fraud Using Modified Benford Analysis*, Advances in Digital Forensics VII (2011).
Everything here comes out of `make papers PAPER=benford ARGS=--write`: the project's functions, the census file that ships with it, a
fixed seed. BA is Benford analysis, MBA its modification (the log-normal law of all amounts, cut off at the limits), p is of
chi-square. What the paper leaves open was found by trying: see `census.py` and `synthetic.py`.
"""


def main() -> int:
    """Print the tables; return 1 if one does not come out."""
    parser = argparse.ArgumentParser(prog="make papers PAPER=benford", description=__doc__)
    parser.add_argument("--simulations", type=int, default=500, metavar="N", help="sets of amounts a row of Table 1 (500)")
    parser.add_argument("--draws", type=int, default=20_000, metavar="N", help="sets of counts a row of Table 1 (20000)")
    parser.add_argument("--write", action="store_true", help="write the tables to README.md beside this command")
    options = parser.parse_args()
    if options.simulations < 1 or options.draws < 1:
        parser.error("wanted at least one simulation and one draw")

    text, bars = [HEAD], {}
    for title, (lines, held) in {
        "Tables 2 to 5: counties between two limits": census.report(),
        "Table 1: simulated amounts": synthetic.report(options.simulations, options.draws),
        "Section 4.4: own parameters": own_parameters.report(options.simulations),
    }.items():
        text += [f"## {title}", "", *lines, ""]
        bars.update(held)
    purchases = purchasing_cards.place()
    if purchases is not None:
        text += ["## Real purchases", "", *purchasing_cards.report(purchases, options.draws), ""]
    else:
        sys.stderr.write(f"Real purchases left out: no {purchasing_cards.FILE} under $NILOMETER_DATA or ../shared/data.\n")
    text += ["## Held to", "", *(f"- {'yes' if held else '**no**'}: {bar}" for bar, held in bars.items()), ""]
    sys.stdout.write("\n".join(text))
    if options.write:
        README.write_text("\n".join(text))
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
