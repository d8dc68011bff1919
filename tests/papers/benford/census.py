"""Winter, Schneider and Yannikos (2011), Tables 2–5: leading digits of US county populations of 1990 between two limits.

The 36 pairs of limits; how many counties lie between them (Table 2); p of Benford analysis (Table 3), of Benford analysis with the
digit cut-off (Table 4) and of the modified analysis (Table 5). With the paper's conventions, found out by trying and kept here
only, all 144 cells come out:

- logarithms to base 10, standard deviation with n − 1, mu and sigma unrounded and of *all* counties, lower ≤ x < upper;
- Pearson's chi-square, 8 degrees of freedom in Tables 3 and 4 *whatever digits are possible*, possible digits − 1 in Table 5, but
  5 degrees in three of its cells, which looks like a slip (all three upper limits begin with a 5 and leave 4, 4 and 3 digits);
- a p below 2⁻⁵² is printed as 0.

The project's own rule is possible digits − 1 everywhere. No decision at the 5 % level depends on it. Cells where the paper's
figure differs from the project's rule are in `PRINTED`, as the paper prints them.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.benford.fit import chi_square, chi_square_tail
from detectors.benford.reference import benford_probabilities, digit_cut_off, digit_probabilities
from streams.simulators.postings import census_populations
from tests.papers.benford.counted import count_digits

LIMITS = {"0": 0.0, "1K": 1e3, "5K": 5e3, "10K": 1e4, "20K": 2e4, "50K": 5e4, "200K": 2e5, "1M": 1e6, "inf": math.inf}
ANALYSES = {3: "Benford analysis", 4: "Benford analysis with digit cut-off", 5: "modified Benford analysis"}
DF_OF_THE_PAPER = 8  # in Tables 3 and 4
SLIPS_OF_TABLE_5 = {("1K", "5K"): 5, ("10K", "50K"): 5, ("20K", "50K"): 5}
LEVEL = 0.05

# lower, upper, counties (Table 2), p of Tables 3, 4 and 5
TABLES = """
   0   1K    28   3e-06   3e-06  0.575
   0   5K   299       0       0  0.691
   0  10K   756       0       0  0.001
   0  20K  1463       0       0  0.001
   0  50K  2299       0       0  0.001
   0 200K  2897   1e-04   1e-04  0.032
   0   1M  3111   0.097   0.097  0.081
   0  inf  3141   0.063   0.063  0.064
  1K   5K   271       0       0  0.549
  1K  10K   728       0       0  3e-04
  1K  20K  1435       0       0  0.001
  1K  50K  2271       0       0  0.001
  1K 200K  2869   9e-05   9e-05  0.025
  1K   1M  3083   0.072   0.072  0.068
  1K  inf  3113   0.041   0.041  0.054
  5K  10K   457       0   0.019  0.510
  5K  20K  1164       0   1e-11  0.275
  5K  50K  2000   2e-15   2e-15  0.001
  5K 200K  2598   5e-15   5e-15  0.005
  5K   1M  2812   1e-07   1e-07  0.044
  5K  inf  2842   3e-08   3e-08  0.033
 10K  20K   707       0   1.000  1.000
 10K  50K  1543       0   0.008  4e-04
 10K 200K  2141       0       0  2e-05
 10K   1M  2355       0       0  0.007
 10K  inf  2385       0       0  0.005
 20K  50K   836       0   0.032  0.037
 20K 200K  1434       0       0  1e-06
 20K   1M  1648       0       0  1e-04
 20K  inf  1678       0       0  0.001
 50K 200K   598       0   3e-09  0.711
 50K   1M   812       0       0  0.302
 50K  inf   842       0       0  0.588
200K   1M   214       0   0.003  7e-06
200K  inf   244   9e-16   9e-16  1e-07
  1M  inf    30   1e-04   1e-04  9e-05
"""

# What the paper prints where the project's degrees of freedom give another p: (table, lower, upper) -> (paper, project)
PRINTED = {
    (4, "5K", "10K"): ("0.019", "0.001"),
    (4, "5K", "20K"): ("1e-11", "3e-13"),
    (4, "10K", "50K"): ("0.008", "1e-04"),
    (4, "20K", "50K"): ("0.032", "2e-04"),
    (4, "50K", "200K"): ("3e-09", "7e-11"),
    (4, "200K", "1M"): ("0.003", "0.001"),
    (5, "1K", "5K"): ("0.549", "0.261"),
    (5, "10K", "50K"): ("4e-04", "5e-05"),
    (5, "20K", "50K"): ("0.037", "0.003"),
}

CELLS = [line.split() for line in TABLES.strip().splitlines()]


def as_printed(p: float) -> str:
    return "0" if p < 2**-52 else f"{p:.3f}" if p >= 0.0005 else f"{p:.0e}"


def counties(lower: str, upper: str) -> np.ndarray:
    populations = census_populations()
    return populations[(populations >= LIMITS[lower]) & (populations < LIMITS[upper])]


def law_of_table(table: int, lower: str, upper: str) -> np.ndarray:
    if table == 3:
        return benford_probabilities()
    if table == 4:
        return digit_cut_off(LIMITS[lower], LIMITS[upper])
    logs = np.log10(census_populations())
    return digit_probabilities(logs.mean(), logs.std(ddof=1), LIMITS[lower], LIMITS[upper])


def p_values(table: int, lower: str, upper: str) -> tuple[float, float]:
    """p by the paper's degrees of freedom, and by the project's: possible digits − 1 (without limits in the law: 8)."""
    observed = count_digits(counties(lower, upper))
    x, df = chi_square(observed, law_of_table(table, lower, upper) * observed.sum())
    paper = SLIPS_OF_TABLE_5.get((lower, upper), df) if table == 5 else DF_OF_THE_PAPER
    return chi_square_tail(x, paper), chi_square_tail(x, df)


def report() -> tuple[list[str], dict[str, bool]]:
    """Tables 2–5 beside the paper's, and whether each comes out."""
    logs = np.log10(census_populations())
    lines = [
        f"1990 census: {len(logs):,} counties, mean of log10 {logs.mean():.3f}, standard deviation {logs.std(ddof=1):.3f}"
        " (paper: 4.398, 0.598).",
        "p as the paper counts degrees of freedom; *in italics* with possible digits − 1 where that prints otherwise. 0: below 2⁻⁵².",
        "",
        "| limits | counties (2) | paper | BA (3) | paper | digit cut-off (4) | paper | MBA (5) | paper |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    right = {2: 0, 3: 0, 4: 0, 5: 0}
    accepted = {table: [0, 0, 0] for table in ANALYSES}  # ours, the project's degrees of freedom, the paper
    for lower, upper, n, *printed in CELLS:
        found = len(counties(lower, upper))
        right[2] += found == int(n)
        row = [f"[{lower}, {upper})", str(found), n]
        for table, paper in zip(ANALYSES, printed, strict=True):
            by_paper, by_project = p_values(table, lower, upper)
            ours, own = as_printed(by_paper), as_printed(by_project)
            right[table] += ours == paper
            for place, p in enumerate((by_paper, by_project, float(paper))):
                accepted[table][place] += p > LEVEL
            row += [ours if own == ours else f"{ours} *{own}*", paper]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", f"Cells as printed: Table 2 {right[2]} of 36, " + ", ".join(f"Table {t} {right[t]} of 36" for t in ANALYSES) + "."]
    lines += [
        "Sets accepted at 5 % (ours, with possible digits − 1, paper): "
        + "; ".join(f"{ANALYSES[t]} {accepted[t][0]}, {accepted[t][1]}, {accepted[t][2]}" for t in ANALYSES)
        + "."
    ]
    return lines, {f"Table {table}: {count} of 36 cells": count == 36 for table, count in right.items()}
