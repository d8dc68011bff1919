"""Sensor readings: how far a subsequence is from every stretch of its sensor's Normal Model."""

from __future__ import annotations

from config.settings import Sensors, Settings
from detectors.normal_model.budget import PAPERS_RULE
from detectors.normal_model.detector import NormalModelDetector
from streams.alerts import Promise
from streams.definitions import Definition
from streams.records import decode_sensors


def define(settings: Settings) -> Definition:
    """The stream `sensors` under these settings."""
    own = settings.sensors
    return Definition(
        name="sensors",
        detector=NormalModelDetector(
            **{name: getattr(own, name) for name in Sensors.OF_A_CLASS},
            hand_over_lag=own.hand_over_lag,
            hand_over_spread=own.hand_over_spread,
            gap=own.gap,
            silence=own.silence,
            quiet_units=own.quiet_units,
            key_limit=own.key_limit,
            classes=[(kind, {name: getattr(of_class, name) for name in Sensors.OF_A_CLASS}) for kind, of_class in own.classes],
        ),
        decode=lambda chunk: decode_sensors(chunk, settings),
        silence=own.silence_seconds,
        promise=Promise(
            words=f"{100 * own.epsilon:.4g} % of readings",
            budget={"epsilon": own.epsilon},
            unit="reading",
            guarantee=PAPERS_RULE,
            basis="paper",
        ),
        rate=own.epsilon,
        comparable=False,
        scores=own.scores,
    )
