"""`nilometer simulate postings` hands every choice on to the simulator."""

from __future__ import annotations

import math

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from streams.cli.simulate import commands
from streams.errors import UserError
from streams.simulators.layout import table
from streams.simulators.postings import census_postings, simulate_postings


def simulated(folder, *arguments):
    file = folder / "postings.parquet"
    said = CliRunner().invoke(commands, ["postings", "--out", str(file), *arguments], catch_exceptions=True)
    if said.exception is not None:
        raise said.exception
    return pq.read_table(file)


def test_every_option_reaches_the_simulator(tmp_path):
    computed = simulated(
        tmp_path, *"--seed 3 --employees 12 --postings 900 --fraudsters 3 --accomplices 2 --share 0.15 --limit 2000 --limit 0".split(),
        *"--approval-limit 500 --days 60 --onset 20 --spell 4 --activity 0.2 --spread 0.1 --repeats 0.3 --median 900 --sigma 0.5".split(),
    )  # fmt: skip
    reference = simulate_postings(
        seed=3, employees=12, postings=900, fraudsters=3, accomplices=2, fraud_share=0.15, limit=(2_000.0, None), approval_limit=500.0,
        days=60.0, onset=20.0, spell=4.0, activity=0.2, spread=0.1, repeats=0.3, mu=math.log10(900.0), sigma=0.5,
    )  # fmt: skip
    assert computed.equals(table(reference))


def test_what_is_not_said_is_the_simulators_own_choice(tmp_path):
    assert simulated(tmp_path).equals(table(simulate_postings()))
    assert simulated(tmp_path, "--census").equals(table(census_postings()))


def test_a_limit_of_0_is_none(tmp_path):
    assert simulated(tmp_path, "--limit", "0", "--postings", "50")["limit"].null_count == 50


@pytest.mark.parametrize("arguments", [["--median", "0"], ["--sigma", "-1"], ["--census", "--median", "350"]])
def test_a_law_that_can_not_be_is_refused_by_its_option(tmp_path, arguments):
    with pytest.raises(UserError, match=f"--{arguments[-2][2:]} .*wanted a number above 0"):
        simulated(tmp_path, *arguments)
