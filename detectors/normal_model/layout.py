"""What a sensor's row holds, and how long its blocks in the arena are."""

from __future__ import annotations

from detectors.normal_model.blocks import BLOCK_HEAD
from detectors.normal_model.regimes import trail_size

STORED_MOST = 3  # models of earlier regimes that a sensor keeps

# Whole numbers of a sensor (`rows["whole"]`), all of them state:
(
    SEEN,  # readings folded
    KIND,  # its class, when it was first heard: a row of `kinds.table_of`
    WANTED,  # scores that are added to a conformal set after a model is in force
    LAST_AT,  # time of the latest, microseconds
    LENGTH,  # ℓ, 0 while it is still to be proposed
    NORMAL_LENGTH,  # ℓ_NM
    TASK,  # NONE, or what is being built
    TRIGGERED,  # the partition's event that asked for it
    DUE,  # the sensor's reading before which it is handed over
    SIZE,  # readings it is built from
    NEEDED,  # the sensor's reading from which on it may alert
    CENTROIDS,  # of the model in force; 0: none yet
    RUNG,  # steps of the ladder that the regime has behind it
    KEPT,  # numbers in the history: the latest readings, and a NaN where two did not follow each other
    FILL,  # readings since the last interruption
    PAGE,  # Page's sum
    ONSET,  # the reading at which it last left 0,
    ONSET_AT,  # and its time
    TRAILED,  # distances that have entered the trail since the model is in force
    BASE,  # of the conformal set: scores of the readings that the model was built from,
    HELD,  # those added since,
    RANKED,  # and how many of both (distances) later ones are ranked among
    NEWS,  # a change of regime is to be told: 1 a new model, 2 an earlier one taken back
    JUDGED,  # readings of the present block that have a score,
    INTERVAL,  # the usual interval when it began, microseconds,
    CONFIRMED,  # and whether people have called it an anomaly
    BLOCKS,  # in the ring of block maxima (`blocks`)
    STORED,  # models of earlier regimes, the one left longest ago first
    STORED_CENTROIDS,  # of each of them (three columns)
) = range(29)
HEARD = STORED_CENTROIDS + STORED_MOST  # the partition's lived time when it was last heard
SILENT = HEARD + 1  # 1: said to be silent, and not heard since
WHOLE = SILENT + 1

# Where a sensor's blocks lie (`places["where"]`): accidents of arrival, no state. SINCE: from which block on maxima are the latest
# that the budget asks for (−1: to be found again), KNOWN: of either channel what `blocks.as_high` remembers.
HISTORY, ROOM, LIVE, MODEL, CALIBRATION, RING, RING_ROOM, SINCE, KNOWN = range(9)
EARLIER = KNOWN + 4
WHERE = EARLIER + STORED_MOST

NONE, LADDER, CHANGE = range(3)  # tasks: nothing; the next model of a regime (its first as well); the model of a new regime
NEW, BACK = 1, 2  # kinds of news


def live_size(length: int, normal_length: int) -> int:
    """Elements of a live block.

    The last ℓ readings twice in a row, the last ℓ squared residuals twice in a row, the last ℓ times, the excess of the trailing
    median, the trail, what is known of the present block (`blocks.BLOCK_HEAD`).
    """
    return 5 * length + 1 + int(trail_size(normal_length)) + BLOCK_HEAD


def block_head(length: int, normal_length: int) -> int:
    """Where in a live block that stands which is known of the present block."""
    return live_size(length, normal_length) - BLOCK_HEAD
