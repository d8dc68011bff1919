"""`python -m tests.papers.benford_stream`: what evidence that may be looked at every day finds, and how often it is wrong."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from detectors.benford.detector import BenfordDetector
from detectors.benford.reference import benford_probabilities, digit_probabilities
from detectors.benford.rows import BAND_TEST, DIGITS, ONSET
from detectors.benford.shiryaev_roberts import CROSSING
from tests.papers.benford.purchasing_cards import FILE, place
from tests.papers.benford_stream import cost, purchases
from tests.papers.benford_stream.crossing import simulated_crossing
from tests.papers.benford_stream.simulated import NAMES, false_discoveries, many, median, naive_chi_square, share, where_people_differ

README = Path(__file__).with_name("README.md")
HEAD = """# Employees, looked at every day

The streaming form of Winter, Schneider and Yannikos, *Detecting Fraud Using Modified Benford Analysis* (2011), measured at the paper's
setting (`simulated.py`) and on real purchasing cards (`purchases.py`). Everything goes through the detector as it stands, looked at after
every posting; what it knows of the population it has learned from 200 other employees (where the reference is learned anew, from more and
more of their postings; four of them are fraudsters). Everything here comes out of
`python -m tests.papers.benford_stream --write`. "At 5 %": each test by itself at that level. "By default": 5 false alarms a year in
1,000 employees, all tests together (digits and onset have a sixth of it each, band and repeats a third).
"""
_LEVELS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002)


def _percent(value: float) -> str:
    return f"{100.0 * value:.1f} %"


def _row(name: str, found: dict, after: int = 0) -> str:
    cells = []
    for test in NAMES:
        reached = share(found[test], after)
        cells.append(f"{_percent(reached)}" + (f", {median(found[test], after):,.0f}" if reached > 0.0 else ""))
    return f"| {name} | " + " | ".join(cells) + " |"


def detection(employees: int) -> tuple[list[str], dict[str, bool]]:
    """Ever alarmed without fraud, with fraud, with late fraud, with a reference that is learned anew."""
    honest = many(10 * employees, 9_000, seed=1)
    early = many(employees, 9_000, fraud=0.01, seed=2)
    late = many(employees, 10_000, fraud=0.05, onset=8_000, seed=3)
    honest_anew = many(employees, 9_000, seed=4, every=500)
    early_anew = many(employees, 9_000, fraud=0.01, seed=2, every=500)
    naive = naive_chi_square(20_000, 9_000)
    lines = [
        f"Employees ever alarmed, and the median posting at which ({employees:,} employees a row, {10 * employees:,} without fraud).",
        f"A chi-square test at 5 % of all digits so far, looked at every 100 postings: {_percent(naive)} of the honest.",
        "",
        "| postings | " + " | ".join(NAMES.values()) + " |",
        "|---|" + "--:|" * len(NAMES),
    ]
    for budget, name in (("level", "at 5 %"), ("budget", "by default")):
        lines += [
            _row(f"{name}: no fraud, 9,000", honest[budget]),
            _row(f"{name}: no fraud, reference learned anew every 500", honest_anew[budget]),
            _row(f"{name}: 1 % fraud just below 100 from the start, 9,000", early[budget]),
            _row(f"{name}: the same, reference learned anew every 500", early_anew[budget]),
            _row(f"{name}: 5 % fraud from posting 8,000 (counted from there), 10,000", late[budget], 8_000),
        ]
    alone, anew, found, soon = honest["level"], honest_anew["level"], early["level"], late["level"]
    bars = {f"no fraud: {name} ever alarmed at most 5 %": share(alone[test]) <= 0.05 for test, name in NAMES.items()}
    bars |= {f"no fraud, reference learned anew: {name} at most 5 %": share(anew[test]) <= 0.05 for test, name in NAMES.items()}
    bars["1 % fraud: digits at least 70 %"] = share(found[DIGITS]) >= 0.70
    bars["1 % fraud: band at least 99 %, median at most 2,000"] = share(found[BAND_TEST]) >= 0.99 and median(found[BAND_TEST]) <= 2_000
    bars["late fraud: onset at least 95 %, median at most 500"] = share(soon[ONSET], 8_000) >= 0.95 and median(soon[ONSET], 8_000) <= 500
    for test in (DIGITS, BAND_TEST):
        gap = abs(share(early_anew["level"][test]) - share(found[test]))
        bars[f"1 % fraud, reference learned anew: {NAMES[test]} as without, within 5 points"] = gap <= 0.05
    return lines, bars


def scattered(employees: int) -> tuple[list[str], dict[str, bool]]:
    """Honest employees whose digits follow laws of their own."""
    lines = [
        f"{employees:,} honest employees, 3,000 postings each, digit laws Dirichlet(κ · the common one); ever alarmed by digits at 5 %.",
        "",
        "| κ | ρ = 1 / (κ + 1) | not allowed for | ρ estimated | allowed for |",
        "|--:|--:|--:|--:|--:|",
    ]
    bars = {}
    for kappa in (600.0, 2_000.0):
        without, _ = where_people_differ(employees, 3_000, kappa, allowed=False)
        ever, rho = where_people_differ(employees, 3_000, kappa, allowed=True)
        lines.append(f"| {kappa:,.0f} | {1 / (kappa + 1):.5f} | {_percent(without)} | {rho:.5f} | {_percent(ever)} |")
        bars[f"employees who differ (κ = {kappa:,.0f}): at most 5 %"] = ever <= 0.05
    return lines, bars


def discoveries(repeats: int) -> tuple[list[str], dict[str, bool]]:
    """e-BH at the end of 3,000 postings."""
    found = false_discoveries(repeats)
    lines = [
        f"1,000 employees, 20 of them with 2 % fraud, 3,000 postings; e-BH at 5 %, mean of {repeats} repeats.",
        "",
        "| e-values | false discoveries | fraudsters found |",
        "|---|--:|--:|",
        *(f"| {name} | {_percent(false)} | {_percent(power)} |" for name, (false, power) in found.items()),
    ]
    bars = {f"e-BH on {name}: at most 5 % false": false <= 0.05 for name, (false, _) in found.items()}
    return lines, bars | {"e-BH on the band: at least 95 % found": found["band"][1] >= 0.95}


def real(path: Path, seeds: int) -> tuple[list[str], dict[str, bool]]:
    """Purchasing cards."""
    detector = BenfordDetector()
    ever, cards = purchases.alarmed(detector, path)
    lines = [
        f"{cards} cards with at least {purchases.LEAST} distinct amounts, looked at every {purchases.EVERY} postings; digits test at 5 %.",
        "",
        "| postings replaced by U[90, 100) | cards ever alarmed |",
        "|--:|--:|",
        f"| none | {_percent(ever)} |",
    ]
    powers = {}
    for fraud in (0.05, 0.1):
        powers[fraud] = sum(purchases.alarmed(detector, path, fraud, seed)[0] for seed in range(seeds)) / seeds
        lines.append(f"| {_percent(fraud)} | {_percent(powers[fraud])} |")
    return lines, {"purchasing cards: at most 5 %": ever <= 0.05, "10 % replaced: at least 75 %": powers[0.1] >= 0.75}


def threshold(employees: int) -> list[str]:
    """What `shiryaev_roberts.CROSSING` was taken from: level times the κ that so many honest employees reach."""
    laws = {
        "log-normal, median 350, limit 5,000": digit_probabilities(math.log10(350.0), 0.6, 0.0, 5_000.0),
        "log-normal, median 1,800, limit 5,000": digit_probabilities(math.log10(1_800.0), 0.6, 0.0, 5_000.0),
        "Benford's": benford_probabilities(),
    }
    lines = [
        f"Level · κ, {employees:,} honest employees, 30,000 postings each; in force: {CROSSING}.",
        "",
        "| law | " + " | ".join(f"{100 * level:g} %" for level in _LEVELS) + " |",
        "|---|" + "--:|" * len(_LEVELS),
    ]
    for name, law in laws.items():
        reached = simulated_crossing(law, employees=employees)
        cells = [f"{level * reached[min(math.ceil((1.0 - level) * employees), employees - 1)]:.2f}" for level in _LEVELS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def costs() -> tuple[list[str], dict[str, bool]]:
    """Microseconds, bytes, milliseconds."""
    postings = {many: cost.posting(many) for many in (20, 1_000, 10_000)}
    size, fit = cost.employee(), cost.truncated_fit()
    lines = [
        "| employees posting in turn | µs of processor time a posting, in the kernel |",
        "|--:|--:|",
        *(f"| {many:,} | {taken:.2f} |" for many, taken in postings.items()),
        "",
        f"An employee takes {size:,} bytes, a truncated fit {fit:.2f} ms.",
    ]
    bars = {f"a posting at most 0.5 µs, {many:,} employees": taken <= 0.5 for many, taken in postings.items()}
    return lines, bars | {"an employee at most 6 KiB": size <= 6_144, "a truncated fit at most 0.5 ms": fit <= 0.5}


def main() -> int:
    """Print the tables; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.papers.benford_stream", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["all", "cost", "threshold"], default="all", help="only one of them")
    parser.add_argument("--employees", type=int, default=400, metavar="N", help="employees a row (400)")
    parser.add_argument("--repeats", type=int, default=20, metavar="N", help="repeats of the discoveries (20)")
    parser.add_argument("--write", action="store_true", help="write the tables to README.md beside this command")
    options = parser.parse_args()
    if options.employees < 1 or options.repeats < 1:
        parser.error("wanted at least one employee and one repeat")
    if options.what == "threshold":
        sys.stdout.write("\n".join(threshold(30 * options.employees)) + "\n")
        return 0
    if options.what == "cost":
        lines, held = costs()
        sys.stdout.write("\n".join([*lines, "", *(f"- {'yes' if kept else '**no**'}: {bar}" for bar, kept in held.items()), ""]))
        return 0 if all(held.values()) else 1
    text, bars = [HEAD], {}
    sections = {
        "Simulated employees": detection(options.employees),
        "Where honest employees differ": scattered(options.employees),
        "At a period's end": discoveries(options.repeats),
        "Cost": costs(),
    }
    cards = place()
    if cards is not None:
        sections["Real purchases"] = real(cards, 5)
    else:
        sys.stderr.write(f"Real purchases left out: no {FILE} under $NILOMETER_DATA or ../shared/data.\n")
    for title, (lines, held) in sections.items():
        text += [f"## {title}", "", *lines, ""]
        bars.update(held)
    text += ["## The threshold of late onset", "", *threshold(30 * options.employees), ""]
    text += ["## Held to", "", *(f"- {'yes' if held else '**no**'}: {bar}" for bar, held in bars.items()), ""]
    sys.stdout.write("\n".join(text))
    if options.write:
        README.write_text("\n".join(text))
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
