"""`make papers PAPER=normal_model_rolling`: the Normal Model over streams, and over streams that change regime."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.papers.normal_model_rolling import bars, cost, drift
from tests.papers.normal_model_rolling.streams import folder

README = Path(__file__).with_name("README.md")
HEAD = """# The Normal Model, rolling

Every reading is scored with the model in force before it is learned; the defaults, ℓ = 75, the first 100,000 points of each record,
five starts (0, 613, 1709, 2903, 4211 points dropped). P@k: the k windows of the greatest scores, none within ℓ of another, k the
segments that begin after the warm-up; a window hits if it overlaps a labelled segment. Distinct recall: the share of these segments
that a window touches. All of it comes out of `make papers PAPER=normal_model_rolling ARGS=--write`.
"""


def main() -> int:
    """Print the tables; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="make papers PAPER=normal_model_rolling", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables to README.md beside this command")
    options = parser.parse_args()
    data = folder()
    if data is None:
        sys.stderr.write("No records under $NILOMETER_DATA or ../shared/data.\n")
        return 1
    text, held = [HEAD], {}
    for title, make in {
        "Records, and one after another": bars.report,
        "A model that is left alone": lambda data: (bars.left_alone(data), {}),
        "False changes": bars.false_changes,
        "There and back": bars.there_and_back,
        "River's drift detectors on the distances": lambda data: (drift.report(data), {}),
        "Cost": lambda _: cost.report(),
    }.items():
        lines, found = make(data)
        text += [f"## {title}", "", *lines, ""]
        held.update(found)
    text += ["## Held to", "", *(f"- {'yes' if kept else '**no**'}: {bar}" for bar, kept in held.items()), ""]
    sys.stdout.write("\n".join(text))
    if options.write:
        README.write_text("\n".join(text))
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
