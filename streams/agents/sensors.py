"""Sensor readings: how far a subsequence is from every stretch of its sensor's Normal Model."""

from __future__ import annotations

from config.settings import Sensors, Settings
from detectors.normal_model.budget import PAPERS_RULE
from detectors.normal_model.detector import NormalModelDetector
from detectors.wording import plain
from streams.alerts import Promise
from streams.definitions import Definition
from streams.records import decode_sensors


def budget_of(own: Sensors) -> str:
    """The budget in a few words."""
    what = "false alarms" if own.promise == "false" else "alarms"
    return f"{plain(own.false_alarms_per_sensor_day)} {what} a sensor-day"


def detector_of(settings: Settings) -> NormalModelDetector:
    """The detector under these settings."""
    own = settings.sensors
    return NormalModelDetector(
        **{name: getattr(own, name) for name in Sensors.OF_A_CLASS},
        hand_over_lag=own.hand_over_lag,
        hand_over_spread=own.hand_over_spread,
        gap=own.gap,
        silence=own.silence,
        quiet_units=own.quiet_units,
        key_limit=own.key_limit,
        classes=[(kind, {name: getattr(of_class, name) for name in Sensors.OF_A_CLASS}) for kind, of_class in own.classes],
    )


def define(settings: Settings) -> Definition:
    """The stream `sensors` under these settings."""
    own = settings.sensors
    return Definition(
        name="sensors",
        detector=detector_of(settings),
        decode=lambda chunk: decode_sensors(chunk, settings),
        silence=own.silence_seconds,
        promise=_promise(own),
        rate=own.epsilon,
        comparable=False,
        scores=own.scores,
    )


def _promise(own: Sensors) -> Promise:
    """Of the stream as a whole; which rule decided of an alarm, the alarm says."""
    by_epsilon = f"{100 * own.epsilon:.4g} % of readings"
    if own.false_alarms_per_sensor_day == 0.0:
        return Promise(words=by_epsilon, budget={"epsilon": own.epsilon}, unit="reading", guarantee=PAPERS_RULE, basis="paper")
    return Promise(
        words=budget_of(own),
        budget={"false_alarms_per_sensor_day": own.false_alarms_per_sensor_day, "epsilon": own.epsilon},
        unit="block",
        guarantee=f"at most {budget_of(own)}, once a sensor or its class has blocks enough; until then {PAPERS_RULE}",
        basis="own, pooled or tail; paper until then",
    )
