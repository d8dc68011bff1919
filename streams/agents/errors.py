"""Any model's errors: how unlikely an error is, given how hard its input was."""

from __future__ import annotations

from config.settings import Settings
from detectors.hardness.detector import HardnessDetector
from detectors.hardness.explain import EXACT, TRACKING
from streams.alerts import Promise
from streams.decoding.fields import parts_of_key
from streams.definitions import Definition
from streams.records import decode_errors


def detector_of(settings: Settings) -> HardnessDetector:
    """The detector under these settings."""
    own = settings.calibration
    return HardnessDetector(
        epsilon=own.epsilon,
        mode=own.mode,
        guarantee=own.guarantee,
        ties=own.ties,
        warm_up=own.warm_up,
        bins=own.bins,
        width=own.width,
        curve_rate=own.curve_rate,
        level_rate=own.level_rate,
        drift_odds=own.drift_odds,
        hand_over_lag=own.hand_over_lag,
        hand_over_spread=own.hand_over_spread,
        quiet_units=own.quiet_units,
        key_limit=own.key_limit,
    )


def define(settings: Settings) -> Definition:
    """The stream `errors` under these settings."""
    own = settings.calibration
    return Definition(
        name="errors",
        detector=detector_of(settings),
        decode=lambda chunk: decode_errors(chunk, settings),
        silence=own.silence_seconds,
        promise=Promise(
            words=f"{100 * own.epsilon:.4g} % of events",
            budget={"epsilon": own.epsilon, "mode": own.mode},
            unit="event",
            guarantee=TRACKING if own.guarantee == "tracking" else EXACT,
            basis="own",
        ),
        rate=own.epsilon,
        scores=own.scores,
        parts=_parts,
    )


def _parts(key: bytes) -> dict[str, str]:
    """A calibration key: the source, and what else its events are told apart by."""
    parts = parts_of_key(key)
    return {"key": parts.pop("source_id", ""), **parts}
