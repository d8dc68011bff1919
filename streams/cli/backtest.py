"""`nilometer backtest`: the fold over a file, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import ConfigFile, settings_of
from streams.errors import UserError

if TYPE_CHECKING:
    from config.settings import Settings
    from streams.agents.pending import Waiting
    from streams.backtest import Backtest


class StreamName(StrEnum):
    """The four streams."""

    sensors = "sensors"
    cards = "cards"
    employees = "employees"
    errors = "errors"


def backtest(
    stream: Annotated[StreamName, typer.Argument(help="Which stream the file holds.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="CSV, Parquet or JSON lines.", exists=True, dir_okay=False, show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder for scores.parquet, alerts.jsonl, cuts.jsonl and report.json.")],
    config: ConfigFile = None,
    partitions: Annotated[int, typer.Option(min=1, help="Deal keys to as many partitions as Kafka would (murmur2).")] = 1,
    length: Annotated[str | None, typer.Option(help="Short for sensors.length: readings, or auto.", metavar="N")] = None,
    epsilon: Annotated[float | None, typer.Option(help="Short for the stream's epsilon (employees: alpha).")] = None,
    cuts: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="The cut log of a live run, to repeat it exactly.")] = None,
    models: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The versions that these cuts name; models.jsonl beside them.")
    ] = None,
    limits: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Employees' limits: employee_id, limit, approval_limit, at; CSV or JSON lines."),
    ] = None,
    label_delay: Annotated[
        str | None, typer.Option(metavar="TIME", help="How late the file's labels come, as 7d or 36h. Short for cards.label_delay_hours.")
    ] = None,
    begin: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Measure from this event time on (RFC 3339).")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Measure up to this event time (RFC 3339).")] = None,
) -> None:
    """Say what a worker would have said of a file: the very same fold, with no broker.

    Columns, those after "and perhaps" as you have them:

    sensors: sensor_id, at, value, and perhaps class

    cards: transaction_id, card_id, at, amount, and perhaps mode, address_match, credit_limit, merchant_id, employee_id, currency

    employees: employee_id, at, amount, and perhaps limit, approval_limit, currency

    errors: source_id, at, error, hardness, and perhaps class, segment, model, model_version

    `at` is epoch seconds, RFC 3339, a plain date or time in UTC, or a timestamp; amount is in major units (or amount_minor). Where there
    is a column label, the report measures the verdicts by it.
    """
    window = (_time(begin, "--from"), _time(end, "--to"))
    if window[0] is not None and window[1] is not None and window[0] > window[1]:
        raise UserError(f"--from = {begin}: wanted a time before --to = {end}")
    readings = int(length) if length is not None and length.isdecimal() else length
    overrides: dict[str, Any] = {"sensors.length": readings, "streams.partitions": partitions}
    if label_delay is not None:
        if stream != "cards":
            raise UserError(f"--label-delay = {label_delay}: only cards learn from labels")
        overrides["cards.label_delay_hours"] = _hours(label_delay)
    overrides[{"employees": "benford.alpha", "errors": "calibration.epsilon"}.get(stream, f"{stream}.epsilon")] = epsilon
    settings = settings_of(config, overrides)
    given = None
    if cuts is not None:
        from streams.cuts import CutError, load

        try:
            with cuts.open("rb") as lines:
                given = load(lines)
        except CutError as error:
            raise UserError(f"{cuts}: {error}") from None
        strange = [number for number in given if not 0 <= number < partitions]
        if strange:
            raise UserError(f"{cuts}: has cuts of partition {strange[0]}: give --partitions as the live run had")
    from streams.backtest import Backtest, CutRefused
    from streams.configured import audit, definition
    from streams.report import report, write, write_employees

    what = definition(stream, settings)
    if cuts is not None and models is None:
        models = cuts.parent / "models.jsonl"
    test = Backtest(what, out, audit(settings, what), partitions, given, models, _limits(limits, stream, given is not None, settings))
    try:
        _feed(test, stream, file, settings)
    except CutRefused as error:
        raise UserError(f"{cuts}: {error}") from None
    finally:
        test.close()
    found = report(test, settings, *window)
    if stream == "employees":
        found |= write_employees(out)
    write(out / "report.json", found)
    _say(found, out)


def _feed(test: Backtest, stream: str, file: Path, settings: Any) -> None:
    """Fold the file, a bar going along on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from streams.decoding.tabular import count_rows, read

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("compiling (first run only)", total=count_rows(file))
        for batch in read(stream, file, settings):
            test.feed(batch)
            progress.update(task, advance=len(batch), description=f"folding {stream}")


def _limits(path: Path | None, stream: str, cuts: bool, settings: Settings) -> list[Waiting]:
    """The option's file, read."""
    if path is None:
        return []
    if stream != "employees" or cuts:
        raise UserError(f"--limits {path}: " + ("--cuts has the limits of the live run" if cuts else "only employees have limits"))
    from streams.agents.limits import of_file

    try:
        return list(of_file(path, settings.benford.exponent))
    except ValueError as error:
        raise UserError(f"--limits {error}") from None


def _time(text: str | None, option: str) -> int | None:
    """An event time in microseconds."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(f"{option} = {text}: wanted a time as 2018-08-08 or 2018-08-08T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e6)


def _hours(text: str) -> int:
    """A delay in whole hours."""
    number, unit = text[:-1], text[-1:]
    if unit not in "dh" or not number.isdecimal() or int(number) < 1:
        raise UserError(f"--label-delay = {text}: wanted days or hours, as 7d or 36h")
    return int(number) * (24 if unit == "d" else 1)


def _say(found: dict[str, Any], out: Path) -> None:
    def line(name: str, text: str) -> None:
        typer.echo(f"{name:<22}{text}")

    line("events", f"{found['events']:,} in {found['seconds']:.1f} s ({found['events_per_second'] or 0:,} a second)")
    if found["bad_rows"]:
        line("bad rows", f"{found['bad_rows']:,} (each has its reason in scores.parquet)")
    line("not ready", f"{found['not_ready']:,} (their keys were still warming up)")
    if "employees" in found:
        line(
            "alerted",
            f"{found['employees_alerted']:,} of {found['employees']:,} employees (budget: {found['alpha']:.3%} of the honest a year)",
        )
    elif found.get("rules", {}).get("cost", {}).get("decided"):
        by_rank, by_cost = found["rules"]["epsilon"], found["rules"]["cost"]
        ranked = max(0, by_rank["decided"] - found["not_ready"])
        if ranked:
            share = by_rank["alerts"] / ranked
            line("alerting by rank", f"{by_rank['alerts']:,} of {ranked:,} ({share:.3%}; budget {by_rank['budget']:.3%})")
        cost = f"expected loss above {by_cost['review_cost']:g}, at most {by_cost['alerts_per_day']:,.0f} a day"
        line("alerting by cost", f"{by_cost['alerts']:,} of {by_cost['decided']:,} ({cost})")
    elif found["tested"]:
        line(
            "alerting", f"{found['alert_units']:,} of {found['tested']:,} tested ({found['alert_rate']:.3%}; budget {found['epsilon']:.3%})"
        )
    else:
        line("alerting", "nothing was tested: the file is shorter than the warm-up of each key")
    line("alerts", f"{found['alerts']:,} episodes")
    if found.get("alert_rate_on_normal") is not None and "employees" not in found:
        line("alerting on normal", f"{found['alert_rate_on_normal']:.3%} of what touches no label")
    for name in ("precision_at_k", "distinct_recall", "roc_auc", "average_precision", "card_precision_at_100", "cost"):
        if found.get(name) is not None:
            line(name.replace("_", " "), f"{found[name]:.4f}")
    line("written to", str(out))
