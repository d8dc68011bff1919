"""`nilometer simulate`: the papers' simulators, seeded, to a file that backtest and replay read, or to a topic as replay would."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.cli.replay import LabelDelay, Speed, send, stream_of
from streams.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

commands = typer.Typer(no_args_is_help=True, help="Simulate sensors, cards or postings to a file or a topic, the same for the same seed.")
Out = Annotated[Path | None, typer.Option(help="File to write, .csv or .parquet.", dir_okay=False)]
Topic = Annotated[str | None, typer.Option("--topic", metavar="T", help="Send to this topic instead, as replay would: sensor.readings, …")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same data.")]


@commands.command()
def sensors(
    out: Out = None,
    topic: Topic = None,
    speed: Speed = None,
    seed: Seed = 0,
    sensors: Annotated[int, typer.Option(min=1, help="How many sensors.")] = 1,
    points: Annotated[int, typer.Option(min=1, help="Readings of each.")] = 100_000,
    anomalies: Annotated[int, typer.Option(min=0, help="Anomalies of each.")] = 60,
    noise: Annotated[float, typer.Option(min=0, help="Noise, per cent of the sine's spread.")] = 5.0,
    length: Annotated[int, typer.Option(min=2, help="Readings of an anomaly.")] = 200,
    period: Annotated[int, typer.Option(min=2, help="Readings of the normal period.")] = 100,
    config: ConfigFile = None,
) -> None:
    """Sines on a random walk with stretches of another frequency: SRW of the NorM paper."""
    from streams.simulators.sensors import simulate_sensors

    _deliver(
        "sensors", out, topic, speed, "", config,
        lambda: simulate_sensors(
            sensors=sensors, points=points, anomalies=anomalies, noise=noise, length=length, period=period, seed=seed
        ),
    )  # fmt: skip


@commands.command()
def cards(
    out: Out = None,
    topic: Topic = None,
    speed: Speed = None,
    seed: Seed = 0,
    cards: Annotated[int, typer.Option(min=1, help="How many cards.")] = 200,
    days: Annotated[int, typer.Option(min=1, help="Over how many days.")] = 300,
    rate: Annotated[float, typer.Option(min=0, help="Transactions a day of a card's holder.")] = 1.0,
    active_rate: Annotated[float, typer.Option(min=0, help="The same of an active fraudster: few days, large amounts.")] = 3.0,
    passive_rate: Annotated[float, typer.Option(min=0, help="The same of a passive fraudster, whose amounts look ordinary.")] = 1.5,
    active_days: Annotated[float, typer.Option(min=0, help="Length of an active fraudster's episode.")] = 4.0,
    passive_days: Annotated[float, typer.Option(min=0, help="Length of a passive fraudster's episode.")] = 10.0,
    equal_rates: Annotated[bool, typer.Option("--equal-rates", help="Fraudsters pay as often as holders, and as many times.")] = False,
    episodes: Annotated[float, typer.Option(min=0, max=1, help="Chance of a fraud episode per card and month.")] = 0.15,
    fraud_free: Annotated[float, typer.Option(min=0, max=1, help="Share of the days before the first fraud.")] = 0.5,
    tables: Annotated[
        Path | None,
        typer.Option(help="TOML file with amounts, holders and fraudsters: the paper's Tables 1-3.", exists=True, dir_okay=False),
    ] = None,
    label_delay: LabelDelay = "7d",
    config: ConfigFile = None,
) -> None:
    """Card transactions with active and passive frauds: the simulator of the conditional-aggregation paper."""
    from streams.simulators.cards import TABLES, read_tables, simulate_cards

    _deliver(
        "cards", out, topic, speed, label_delay, config,
        lambda: simulate_cards(
            cards=cards, days=days, rate=rate, active_rate=active_rate, passive_rate=passive_rate, active_days=active_days,
            passive_days=passive_days, equal_rates=equal_rates, episode_probability=episodes, fraud_free=fraud_free,
            tables=read_tables(tables) if tables else TABLES, seed=seed,
        ),
    )  # fmt: skip


@commands.command()
def postings(
    out: Out = None,
    topic: Topic = None,
    speed: Speed = None,
    seed: Seed = 0,
    employees: Annotated[int, typer.Option(min=1, help="How many employees.")] = 40,
    postings: Annotated[int, typer.Option(min=1, help="Postings of all of them.")] = 20_000,
    fraudsters: Annotated[int, typer.Option(min=0, help="How many of them post just below the approval limit.")] = 2,
    accomplices: Annotated[int, typer.Option(min=0, help="How many help a fraudster, at a tenth of his rate.")] = 0,
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of a fraudster's postings that are fraud.")] = 0.1,
    limit: Annotated[
        list[float] | None,
        typer.Option(min=0, help="Accounting limit, major units; 0 for none. Given several times: taken in turn. 5000 if not given."),
    ] = None,
    approval_limit: Annotated[float, typer.Option(help="Approval limit, major units.")] = 1_000.0,
    days: Annotated[float, typer.Option(help="Over how many days, from 2026-01-01.")] = 90.0,
    onset: Annotated[float, typer.Option(min=0, help="Days before fraud begins.")] = 0.0,
    spell: Annotated[float, typer.Option(min=0, help="Mean days of a spell of fraud; 0 for fraud at any time.")] = 0.0,
    activity: Annotated[float, typer.Option(min=0, help="Spread of how often employees post, decades.")] = 0.0,
    spread: Annotated[float, typer.Option(min=0, help="Spread of the employees' own mean amounts, decades.")] = 0.0,
    repeats: Annotated[float, typer.Option(min=0, max=1, help="Share of honest postings that repeat a standing amount.")] = 0.0,
    median: Annotated[float | None, typer.Option(help="Median of honest amounts before the cut, major units. 350 if not given.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Standard deviation of their log10. 0.6 if not given.")] = None,
    census: Annotated[bool, typer.Option("--census", help="Honest amounts shaped like the 1990 census, not log-normal.")] = False,
    config: ConfigFile = None,
) -> None:
    """Accounting postings of honest employees, fraudsters and their accomplices, after the modified Benford paper.

    Honest amounts are log-normal and keep the accounting limit; frauds lie just below the approval limit.
    """
    from streams.simulators.postings import census_postings, simulate_postings

    law: dict[str, float] = {}
    for name, value in (("median", median), ("sigma", sigma)):
        if value is not None:
            if census or not value > 0.0:
                raise UserError(f"--{name} {value:g}: wanted a number above 0, and no --census, whose amounts are what they are")
            law |= {"mu": math.log10(value)} if name == "median" else {"sigma": value}
    simulate = census_postings if census else simulate_postings
    limits = tuple(value or None for value in limit or [5_000.0])
    _deliver(
        "employees", out, topic, speed, "", config,
        lambda: simulate(
            employees=employees, postings=postings, fraudsters=fraudsters, accomplices=accomplices, fraud_share=share,
            limit=limits, approval_limit=approval_limit, days=days, onset=onset, spell=spell, activity=activity, spread=spread,
            repeats=repeats, seed=seed, **law,
        ),
    )  # fmt: skip


def _deliver(
    stream: str, out: Path | None, topic: str | None, speed: float | None, label_delay: str, config: Path | None, simulate: Any
) -> None:  # fmt: skip
    """Simulate, and write to the file or send to the topic, whichever was asked for."""
    if (out is None) == (topic is None):
        raise UserError("wanted one of --out FILE and --topic T")
    if topic is None:
        if speed is not None:
            raise UserError("--speed goes with --topic: a file is written at once")
        assert out is not None
        _write(out, simulate)
        return
    if stream_of(topic) != stream:
        raise UserError(f"--topic {topic}: takes {stream_of(topic)}, and these are {stream}")
    settings = settings_of(config)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{stream}.parquet"
        _write(file, simulate, quiet=True)
        send(file, topic, speed, label_delay, settings)


def _write(out: Path, simulate: Any, *, quiet: bool = False) -> None:
    """Simulate and write as a file in the contract's columns."""
    if out.suffix.lower() not in (".csv", ".parquet"):
        raise UserError(f"--out {out}: wanted a file that ends in .csv or .parquet")
    try:
        columns: Mapping[str, Any] = simulate()
    except ValueError as error:
        raise UserError(str(error)) from None
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    from streams.simulators.layout import table

    made: pa.Table = table(columns)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix.lower() == ".csv":
        pa_csv.write_csv(made, out)
    else:
        pq.write_table(made, out)
    if not quiet:
        typer.echo(f"{out}: {made.num_rows:,} rows, {made.num_columns} columns ({', '.join(made.column_names)})")
