"""What is kept of one key, in words and numbers, from the frozen state of that key alone (`streams.savepoints.by_key.cut_out`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.aggregation.detector import DAY
from detectors.aggregation.groups import MATCH, MISMATCH, MODES, UNUSUAL
from detectors.benford import rows as employee
from detectors.benford.fold import CRITICAL_AT, PARTS
from detectors.benford.shiryaev_roberts import boundary
from detectors.benford.years import NO_YEAR, UNITS_A_YEAR
from detectors.hardness.curves import LEVELS
from detectors.normal_model import layout
from detectors.protocol import MICROSECONDS
from detectors.wording import instant
from state import decay
from state.rings import NEVER
from state.snapshot import Section
from streams.episodes import FIRST_AT, LAST_AT, UNITS

Arrays = Mapping[str, NDArray[Any]]
TASKS = ("nothing", "the next model of its regime", "the model of a new regime")


def when(at: int) -> str | None:
    """Event time in RFC 3339, None where there is none yet."""
    return None if at <= -(2**62) else instant(at)


def sensor(detector: Any, sections: Mapping[str, Section]) -> dict[str, Any]:
    """Kind, length, models, what scores are ranked among."""
    arrays = sections["normal_model"].arrays
    whole = arrays["whole"][0].tolist()
    kind = detector.kinds[whole[layout.KIND]]
    ready = whole[layout.CENTROIDS] > 0 and whole[layout.SEEN] >= whole[layout.NEEDED]
    blocks = whole[layout.BLOCKS]
    channels = list(zip(("shape", "amplitude"), _by_channel(arrays["maxima"], blocks), strict=True))
    return {
        "class": (None, *detector._names)[whole[layout.KIND]],
        "readings": whole[layout.SEEN],
        "last_at": when(whole[layout.LAST_AT]),
        "usual_interval_seconds": float(arrays["usual"][0]) / MICROSECONDS,
        "said_to_be_silent": bool(whole[layout.SILENT]),
        "length": whole[layout.LENGTH] or None,
        "normal_length": whole[layout.NORMAL_LENGTH] or None,
        "may_alert": ready,
        "may_alert_from_reading": whole[layout.NEEDED] or None,
        "model": {
            "centroids": whole[layout.CENTROIDS],
            "rung": whole[layout.RUNG],
            "earlier_regimes": whole[layout.STORED],
            "being_built": TASKS[whole[layout.TASK]],
            "in_force_from_reading": whole[layout.DUE] if whole[layout.TASK] else None,
        },
        "conformal_set": {"scores": whole[layout.BASE] + whole[layout.HELD], "ranked": whole[layout.RANKED]},
        "block_maxima": {
            "blocks": blocks,
            "false_alarms_per_sensor_day": kind.false_alarms_per_sensor_day,
            **{f"highest_{name}": float(each.max()) if blocks else None for name, each in channels},
            **{f"median_{name}": float(np.median(each)) if blocks else None for name, each in channels},
        },
    }  # fmt: skip


def _by_channel(maxima: NDArray[Any], blocks: int) -> NDArray[Any]:
    return maxima.reshape(2, blocks)


def card(detector: Any, sections: Mapping[str, Section]) -> dict[str, Any]:
    """Aggregates by mode and window, as they stood at the card's last transaction; its own normal."""
    arrays, model = sections["aggregation"].arrays, sections["aggregation.model"].arrays
    held, newest, _ = arrays["rings"][0].tolist()
    own, scale = arrays["own"][0], 10.0**-detector.exponent
    modes = [*detector.mode_names, *(f"other modes {i + 1}" for i in range(detector.mode_slots - len(detector.mode_names)))]
    groups = ["all", *modes, *([""] * 3)]
    for place, name in ((MISMATCH, "address differs"), (MATCH, "address matches"), (UNUSUAL, "unusual amounts")):
        groups[MODES + detector.mode_slots + place] = name
    weight, gaps = float(own[decay.WEIGHT]), float(own[decay.GAP_WEIGHT])
    found: dict[str, Any] = {
        "transactions": int(arrays["paid"][0].sum()),
        "judged": int(arrays["judged"][0]),
        "last_at": when(newest * MICROSECONDS) if newest != NEVER else None,
        "usual_amount": float(own[decay.VALUES]) / weight * scale if weight else None,
        "usual_gap_seconds": float(own[decay.GAPS]) / gaps if gaps else None,
        "paid_by": dict(zip(modes, arrays["paid"][0].tolist(), strict=True)),
        "left_the_longest_window": dict(zip(groups, arrays["past"][0].tolist(), strict=True)),
        "acting_model": int(model["head"][0]) if model["head"][0] >= 0 else None,
    }
    if "cells" in arrays:
        return found | {"cells_of_a_quarter_day": held}
    found["in_the_last"] = {}
    for days in detector.windows:
        young = arrays["times"] > newest - days * DAY
        inside = {name: young & (arrays["groups"] >> group & 1 > 0) for group, name in enumerate(groups)}
        found["in_the_last"][f"{days} days"] = {
            name: f"{members.sum():,} of {arrays['amounts'][members].sum() * scale:,.2f} in all"
            for name, members in inside.items()
            if members.any()
        }
    return found


def employee_(detector: Any, sections: Mapping[str, Section]) -> dict[str, Any]:
    """Digits against what was expected, the evidence of each test against what its level asks for."""
    arrays = sections["benford"].arrays
    counts, hits, expected = arrays["counts"][0].tolist(), arrays["hits"][0], arrays["expected"][0]
    evidence, onset = arrays["evidence"][0], arrays["onset"][0]
    e = {
        "digits": evidence[:, :9].mean(), "onset": onset[:, :10].mean(), "band": evidence[:, employee.BAND_PLACE].mean(),
        "repeats": evidence[:, employee.REPEATS_PLACE].mean(),
    }  # fmt: skip
    restarts = counts[employee.RESTARTS : employee.RESTARTS + len(e)]
    asked = {test: parts * 2.0**many / detector.alpha for test, parts, many in zip(e, PARTS, restarts, strict=True)}
    asked["onset"] *= boundary(1.0, counts[employee.YEAR_DISTINCT])

    def amount(value: int) -> float | None:
        return None if value < 0 else value * 10.0**-detector.exponent

    return {
        "postings": counts[employee.POSTINGS],
        "accounting_year": None if counts[employee.YEAR] == NO_YEAR else counts[employee.YEAR],
        "period": None if counts[employee.PERIOD] == NO_YEAR else counts[employee.PERIOD] % UNITS_A_YEAR,
        "first_at": when(counts[employee.FIRST_AT]) if counts[employee.POSTINGS] else None,
        "last_at": when(counts[employee.LAST_AT]) if counts[employee.POSTINGS] else None,
        "limit": amount(counts[employee.LIMIT_HIGH]),
        "approval_limit": amount(counts[employee.APPROVAL]),
        "distinct_amounts": counts[employee.DISTINCT],
        "above_their_limit": counts[employee.LEFT_OUT],
        "first_digits": {str(d + 1): f"{hits[d]:,} where {expected[d]:,.1f} are expected" for d in range(9)},
        "below_the_approval_limit": f"{hits[employee.BAND_PLACE]:,} where {expected[employee.BAND_PLACE]:,.1f} are expected",
        "repeated_amounts": f"{hits[employee.REPEATS_PLACE]:,} where {expected[employee.REPEATS_PLACE]:,.1f} are expected",
        "tests": {
            test: {
                "evidence": float(e[test]), "alerts_at": float(asked[test]), "critical_at": CRITICAL_AT * float(asked[test]),
                "restarts": many,
            }
            for test, many in zip(e, restarts, strict=True)
        },
    }  # fmt: skip


def source(detector: Any, sections: Mapping[str, Section]) -> dict[str, Any]:
    """How far a calibration key is, its curves, its bins."""
    arrays = sections["hardness"].arrays
    seen, in_force, fitted = (int(arrays[name][0]) for name in ("seen", "in_force", "fitted"))
    return {
        "events": seen,
        "warm_up": f"{min(seen, detector.warm_up):,} of {detector.warm_up:,}",
        "curves_in_force_from_event": in_force or None,
        "curves_are_there": bool(fitted),
        "ranked": min(seen - in_force, detector.bins * detector.width) if fitted else 0,
        "needed_to_judge": detector.needed,
        "hardness_at_the_knots": arrays["knots"][0].tolist() if fitted else [],
        "expected_error": {
            f"{100 * level:g} %": [float(x) for x in np.exp(curve)] for level, curve in zip(LEVELS, arrays["theta"][0], strict=True)
        } if fitted else {},
        "edges_of_the_bins": [float(x) for x in arrays["edges"][0] if np.isfinite(x)],
        "levels_of_the_bins": [float(detector.epsilon * x) for x in arrays["factors"][0]],
        "odds_of_drift": float(arrays["capital"][0].sum()),
        "drift_is_told_at": detector.drift_odds,
    }  # fmt: skip


def episodes_of(detector: Any, arrays: Arrays) -> list[dict[str, Any]]:
    """The latest episode of each test that has had one."""
    found = []
    for row in range(len(arrays["open"])):
        for test, numbers in enumerate(arrays["numbers"][row].tolist()):
            if numbers[UNITS]:
                found.append({
                    "id": bytes(arrays["id"][row, test]).hex(),
                    "test": detector.tests[test],
                    "open": bool(arrays["open"][row, test]),
                    "from": when(numbers[FIRST_AT]),
                    "to": when(numbers[LAST_AT]),
                    f"alerting_{detector.unit}s": numbers[UNITS],
                    "max_score": float(arrays["max_score"][row, test]),
                })  # fmt: skip
    return found


DESCRIBE: Mapping[str, Callable[[Any, Mapping[str, Section]], dict[str, Any]]] = {
    "normal_model": sensor,
    "aggregation": card,
    "benford": employee_,
    "hardness": source,
}
