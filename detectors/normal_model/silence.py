"""A sensor from which nothing comes any more, by the time that its partition lives through.

A partition knows no clock but its events. Its *lived time* advances with the greatest event time seen; a leap counts at most as two
of the usual intervals of the sensor that leapt. So an outage of everything is nobody's silence, nor does a device whose clock is
months ahead make all the others silent; two sensors' own clocks are never compared. A sensor is silent when the partition has
lived through `silence` of its usual intervals since it was last heard; whatever comes from it, late or unreadable, is a sign of life.
It is looked for once a second of lived time.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LEARNED = 16  # readings after which a sensor's usual interval is known
MEMORY = 64  # readings that the mean interval looks back to
OUTAGE = 20.0  # usual intervals that one interval counts at most in their mean: a day's outage makes no slow sensor of a quick one
LOOK = 1_000_000  # microseconds of lived time between two looks at all sensors: a quick one would make us look at the slow ones for ever
LEAP = 2.0  # usual intervals that one step of the clock counts at most
CLOCK, LIVED, NEXT = range(3)  # the partition's: greatest event time, lived time, the earliest time at which a sensor may be silent


@njit(cache=True)  # type: ignore[untyped-decorator]
def usual_step(usual, interval, number):  # type: ignore[no-untyped-def]
    """The usual interval (microseconds) after one more, the `number`-th: the mean at first, then with a memory of 64."""
    if number >= LEARNED:
        interval = min(interval, OUTAGE * usual)
    return usual + (interval - usual) / min(number, MEMORY)


@njit(cache=True)  # type: ignore[untyped-decorator]
def silent_from(heard, usual, silence):  # type: ignore[no-untyped-def]
    """The lived time from which on a sensor is silent that was last heard at `heard`."""
    return heard + np.int64(silence * usual) + 1


@njit(cache=True)  # type: ignore[untyped-decorator]
def live_on(clock, at, usual):  # type: ignore[no-untyped-def]
    """Move the partition's clock to an event of a sensor with this usual interval."""
    if at > clock[CLOCK]:
        if clock[LIVED] >= 0:
            clock[LIVED] += min(at - clock[CLOCK], np.int64(LEAP * usual))
        else:
            clock[LIVED] = 0
        clock[CLOCK] = at
