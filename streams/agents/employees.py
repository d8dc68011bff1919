"""Employees' postings: leading digits against the law that their accounting limit leaves of the population's."""

from __future__ import annotations

from config.settings import Settings
from detectors.benford.detector import BenfordDetector
from streams.alerts import Promise
from streams.definitions import Definition
from streams.records import decode_employees


def define(settings: Settings) -> Definition:
    """The stream `employees` under these settings."""
    own = settings.benford
    return Definition(
        name="employees",
        detector=BenfordDetector(
            alpha=own.alpha,
            window=own.window,
            minimum_expected=own.minimum_expected,
            quiet_units=own.quiet_units,
            year_start=own.year_start,
            exponent=own.exponent,
            key_limit=own.key_limit,
            mu=own.mu,
            sigma=own.sigma,
        ),
        decode=lambda chunk: decode_employees(chunk, settings),
        silence=own.silence_seconds,
        promise=Promise(
            words=f"{100 * own.alpha:.4g} % of employees a year",
            budget={"alpha": own.alpha, "per": "employee and accounting year"},
            unit="look",
            guarantee="an honest employee whose amounts follow the reference is ever alerted in a year with probability at most alpha; "
            "the k-th look of the year is held against alpha * 6 / (pi^2 * k^2)",
            basis="paper: chi-square of one window's digits",
        ),
        rate=own.alpha,
        scores=own.scores,
        merges=True,
    )
