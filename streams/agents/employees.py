"""Employees' postings: leading digits against the law that their accounting limit leaves of the population's."""

from __future__ import annotations

from config.settings import Settings
from detectors.benford.detector import BenfordDetector
from streams import topics
from streams.alerts import Promise
from streams.definitions import Definition
from streams.records import decode_employees


def define(settings: Settings) -> Definition:
    """The stream `employees` under these settings."""
    own = settings.benford
    alpha = own.false_alarms_per_1000_employees_per_year / 1_000.0 if own.alpha is None else own.alpha
    detector = BenfordDetector(
        alpha=own.alpha,
        false_alarms_per_1000_employees_per_year=own.false_alarms_per_1000_employees_per_year,
        false_discovery_rate=own.false_discovery_rate,
        period_months=own.period_months,
        tolerance_mu=own.tolerance_mu,
        tolerance_sigma=own.tolerance_sigma,
        band_width=own.band_width,
        limit=own.limit,
        approval_limits=own.approval_limits,
        distinct=own.distinct,
        window=own.window,
        minimum_expected=own.minimum_expected,
        half_life=own.half_life,
        quiet_units=own.quiet_units,
        year_start=own.year_start,
        utc_offset=own.utc_offset,
        exponent=own.exponent,
        key_limit=own.key_limit,
        mu=own.mu,
        sigma=own.sigma,
    )
    detector.topics = topics.source("employees"), topics.source("cards")
    return Definition(
        name="employees",
        detector=detector,
        decode=lambda chunk: decode_employees(chunk, settings),
        silence=own.silence_seconds,
        promise=Promise(
            words=f"{100 * alpha:.4g} % of employees a year",
            budget={"alpha": alpha, "per": "employee and accounting year"},
            unit="employee and accounting year",
            guarantee="an honest employee whose postings follow the reference is ever alerted in a year with probability at most alpha, "
            "however often the evidence is looked at",
            basis="e-processes",
        ),
        rate=alpha,
        comparable=False,
        scores=own.scores,
        merges=True,
    )
