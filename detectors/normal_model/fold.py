"""The loop over readings: score first, then learn, one sensor's state after another's, in the order of the log."""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.normal_model import layout
from detectors.normal_model.amplitude import amplitude
from detectors.normal_model.blocks import (
    CONDITIONING,
    EVIDENCE,
    EVIDENCE_BLOCKS,
    FIRST_BLOCKS,
    MAXIMUM,
    MIDDLE,
    MOST_BLOCKS,
    OWN,
    PAPER,
    POOLED,
    TAIL_SCALE,
    TAIL_SHAPE,
    WIDTH,
    as_high,
    basis_of,
    block_level,
    describe_ring,
    enter,
    gained,
    maxima_of,
    numbers_of,
    rank_p_value,
    rank_threshold,
    ranked_of,
    since,
    tail_p_value,
    tail_threshold,
    wanted_of,
)
from detectors.normal_model.conditioning import LENGTH as MOMENTS
from detectors.normal_model.conditioning import given_hardness
from detectors.normal_model.kinds import (
    CONDITIONED,
    EPSILON,
    EXPECTED,
    FALSE_ALARMS,
    FIRST_RUNG,
    LEFT_OUT,
    OF_CALIBRATION,
    OF_LENGTH,
    OF_NORMAL_LENGTH,
    RUNGS,
)
from detectors.normal_model.pool import enter_pool, lot, name_of, pooled_p_value, pooled_threshold, standardised
from detectors.normal_model.ranking import alike, insert, promised, smaller
from detectors.normal_model.regimes import DECIDED, excess, page_step, trail_size, trail_stride
from detectors.normal_model.rolling import (
    AR,
    AR_ORDER,
    BUILT_FROM,
    BUILT_TO,
    CENTRE,
    FLOOR_AT,
    HEAD,
    LARGEST,
    LEVEL,
    LINE,
    NEAREST,
    SD,
    SPREAD,
    TRIED,
    USUAL_DISTANCE,
    distance,
    refresh,
)
from detectors.normal_model.silence import CLOCK, LEARNED, LIVED, LOOK, NEXT, live_on, silent_from, usual_step
from detectors.protocol import CRITICAL, E_VALUE, LATE, NO_LOOK, NOT_A_NUMBER, P_VALUE, REPEATED, ROW, SCORE, SLOT, TEST, THRESHOLD, UNIT
from state.arena import NO_ROOM, allocate, block_size, release
from state.draws import SPREAD_BUILDS, draw

DONE, ARENA_FULL, ALARMS_FULL = -1, -2, -3  # why the kernel stopped; a slot: it waits for that sensor's model
SHAPE, AMPLITUDE, REGIME, GONE = range(4)  # tests
FIRST_HISTORY = 64  # readings that a history has room for at first; it doubles,
LARGE_HISTORY = 1024  # and one of more room than this is given back when it ends
SECOND = 1e6  # microseconds

# What an alarm keeps. Of a shape or an amplitude, before the subsequence (ℓ) and the stretch of the model nearest to it (ℓ):
DETAIL = (
    "distance", "threshold", "mean", "sd", "level", "spread", "floor", "centroid", "offset", "hardness", "p_value", "reading", "ranked",
    "amplitude", "amplitude_threshold", "amplitude_p_value", "shape_p_value", "excess", "epsilon", "basis", "block_level", "false_alarms",
    "interval", "block", "e_value", "confirmed_left_out", "conditioned", "judged",
)  # fmt: skip
STARTED = len(DETAIL)  # and at last the start of the subsequence, microseconds
DETAIL_HEAD = STARTED + 1
# of a change of regime: readings by the sensor's own number; times in microseconds
REGIME_DETAIL = (
    "old_from", "old_to", "old_usual", "old_line", "old_distance", "new_from", "new_to", "new_usual", "new_distance", "taken_back",
    "onset", "reading", "onset_at",
)  # fmt: skip
# of a silence: seconds, readings; times in microseconds
SILENCE_DETAIL = ("usual", "silent_for", "readings", "last_at", "partition_at")


@njit(cache=True)  # type: ignore[untyped-decorator]
def describe(data, window, model, centroid, length, normal_length, detail):  # type: ignore[no-untyped-def]
    """Write mean, sd, nearest offset, the subsequence and the nearest stretch of the centroid, brought to that mean and sd."""
    windows = normal_length - length + 1
    centroid_at = model + HEAD + centroid * (1 + normal_length + 4 * windows) + 1
    q = centroid_at + normal_length
    centre, sd = data[model + CENTRE], data[model + SD]
    total = 0.0
    for i in range(length):
        total += data[window + i] - centre
    best, place = -np.inf, 0
    for i in range(windows):
        like = (data[q + i] - total * data[q + windows + i]) * data[q + 2 * windows + i] * 2.0 / max(sd, data[model + FLOOR_AT])
        like -= data[q + 3 * windows + i]
        if like > best:
            best, place = like, i
    detail[2], detail[3] = centre + total / length, sd
    detail[7], detail[8] = centroid, windows - 1 - place
    for i in range(length):
        detail[DETAIL_HEAD + i] = data[window + i]
        shape = (data[centroid_at + place + length - 1 - i] - data[q + windows + place]) * data[q + 2 * windows + place]
        detail[DETAIL_HEAD + length + i] = centre + total / length + shape * sd


@njit(cache=True)  # type: ignore[untyped-decorator]
def tell_silence(row, whole, usual, clock, silence, places, numbers, detail, detail_stop, ends):  # type: ignore[no-untyped-def]
    """Say of whom nothing has been heard for `silence` of its usual intervals; False where there is no room for the next alarm.

    Entered again at the same row it goes on where it stopped: whoever has been told of is marked.
    """
    earliest = np.iinfo(np.int64).max
    for slot in range(len(whole)):
        if whole[slot, layout.SEEN] < LEARNED or whole[slot, layout.SILENT] == 1 or usual[slot] <= 0.0:
            continue
        end = silent_from(whole[slot, layout.HEARD], usual[slot], silence)
        if end > clock[LIVED]:
            earliest = min(earliest, end)
            continue
        m, used = ends[0], ends[1]
        if m == len(places) or used + len(SILENCE_DETAIL) > len(detail):
            return False
        whole[slot, layout.SILENT] = 1
        apart = clock[LIVED] - whole[slot, layout.HEARD]
        places[m, ROW], places[m, SLOT], places[m, TEST], places[m, CRITICAL] = row, slot, GONE, 0
        places[m, UNIT] = whole[slot, layout.SEEN] // max(whole[slot, layout.NORMAL_LENGTH], 1)
        numbers[m, :] = np.nan
        numbers[m, SCORE], numbers[m, THRESHOLD] = apart / usual[slot], silence
        detail[used], detail[used + 1], detail[used + 2] = usual[slot] / SECOND, apart / SECOND, whole[slot, layout.SEEN]
        detail[used + 3], detail[used + 4] = whole[slot, layout.LAST_AT], clock[CLOCK]
        ends[0], ends[1] = m + 1, used + len(SILENCE_DETAIL)
        detail_stop[m] = ends[1]
    clock[NEXT] = earliest
    return True


@njit(cache=True)  # type: ignore[untyped-decorator]
def larger_ring(data, header, mine, its):  # type: ignore[no-untyped-def]
    """Have room for one block more in the ring of maxima; False where the arena must grow first."""
    many, before, ring = mine[layout.BLOCKS], its[layout.RING_ROOM], its[layout.RING]
    if many < before or before == MOST_BLOCKS:
        return True
    room = max(2 * before, FIRST_BLOCKS)
    start = allocate(data, header, 2 * room)
    if start == NO_ROOM:
        return False
    for i in range(2 * room):
        data[start + i] = 0.0
    half = before // 2
    for channel in range(2):
        for i in range(half):
            data[start + channel * room + i] = data[ring + channel * before + i]
            data[start + channel * room + room // 2 + i] = data[ring + channel * before + half + i]
    if before > 0:
        release(data, header, ring, 2 * before)
    its[layout.RING], its[layout.RING_ROOM] = start, room
    return True


@njit(cache=True)  # type: ignore[untyped-decorator]
def by_blocks(data, mine, its, head, level, share, channel, score, pooled, pool_count, key_hash, number):  # type: ignore[no-untyped-def]
    """What decides of a channel, among how many maxima, the p-value of a score by it, and what a score must be above to alert."""
    count = mine[layout.BLOCKS]
    shape, scale, width = data[head + TAIL_SHAPE + channel], data[head + TAIL_SCALE + channel], data[head + WIDTH + channel]
    basis = basis_of(count, level, share, scale, width, pool_count)
    if basis == PAPER:
        return basis, count, 1.0, np.inf
    if basis == POOLED:
        n, drawn, middle = ranked_of(pool_count, share), lot(key_hash, number, channel), data[head + MIDDLE + channel]
        p = pooled_p_value(pooled, pool_count, n, standardised(score, middle, width), drawn)
        return basis, n, p, np.exp(middle + width * pooled_threshold(pooled, n, level, drawn))
    maxima = maxima_of(data, its[layout.RING], its[layout.RING_ROOM], channel)
    numbers = numbers_of(data, its[layout.RING], its[layout.RING_ROOM], channel)
    if basis == OWN:
        many = wanted_of(level, share)
        if its[layout.SINCE] < 0:
            its[layout.SINCE] = since(numbers, count, many)
            its[layout.KNOWN] = its[layout.KNOWN + 2] = count
            its[layout.KNOWN + 1] = its[layout.KNOWN + 3] = 0
        first, n = its[layout.SINCE], ranked_of(many, share)
        known = its[layout.KNOWN + 2 * channel : layout.KNOWN + 2 * channel + 2]
        p = rank_p_value(as_high(maxima, numbers, count, first, score, known), many, share)
        return basis, n, p, rank_threshold(maxima, numbers, count, first, many - n)
    n = ranked_of(count, share)
    return basis, n, tail_p_value(maxima, n, score, shape, scale), tail_threshold(maxima, n, level, shape, scale)


@njit(cache=True)  # type: ignore[untyped-decorator]
def evidence_from(data, mine, its):  # type: ignore[no-untyped-def]
    """The first of the blocks that evidence is ranked among."""
    return since(numbers_of(data, its[layout.RING], its[layout.RING_ROOM], SHAPE), mine[layout.BLOCKS], EVIDENCE_BLOCKS)


@njit(cache=True)  # type: ignore[untyped-decorator]
def evidence_with(data, mine, its, head, share, channel, first):  # type: ignore[no-untyped-def]
    """E with the present block as it is so far, among those from `first` on."""
    count = mine[layout.BLOCKS]
    if count == 0:
        return 1.0
    maxima = maxima_of(data, its[layout.RING], its[layout.RING_ROOM], channel)
    numbers = numbers_of(data, its[layout.RING], its[layout.RING_ROOM], channel)
    none = np.array([count, 0])
    higher = as_high(maxima, numbers, count, first, data[head + MAXIMUM + channel], none)
    return gained(data[head + EVIDENCE + channel], rank_p_value(higher, min(count, EVIDENCE_BLOCKS), share))


@njit(cache=True)  # type: ignore[untyped-decorator]
def end_block(data, mine, its, head, share, number, ring_of_class, ordered, counts, names, key_hash):  # type: ignore[no-untyped-def]
    """Count a block's evidence against those before it, then let its maxima enter the class's pool and the ring; room has been made."""
    first = evidence_from(data, mine, its)
    for channel in range(2):
        data[head + EVIDENCE + channel] = evidence_with(data, mine, its, head, share, channel, first)
    if mine[layout.CONFIRMED] == 0:
        if data[head + WIDTH] > 0.0:
            shape = standardised(data[head + MAXIMUM], data[head + MIDDLE], data[head + WIDTH])
            loud = standardised(data[head + MAXIMUM + 1], data[head + MIDDLE + 1], data[head + WIDTH + 1])
            enter_pool(ring_of_class, ordered, counts, names, name_of(key_hash, number), shape, loud)
        ring, room = its[layout.RING], its[layout.RING_ROOM]
        mine[layout.BLOCKS] = enter(data, ring, room, mine[layout.BLOCKS], number, head)
        describe_ring(data, ring, room, ranked_of(mine[layout.BLOCKS], share), head)
        its[layout.SINCE] = -1


@njit(cache=True)  # type: ignore[untyped-decorator]
def _wait(key_hash, number, schedule):  # type: ignore[no-untyped-def]
    """Readings from the trigger of a build to its hand-over: the lag, and the sensor's own part of the spread."""
    return schedule[0] + np.int64(draw(key_hash, number, SPREAD_BUILDS) % np.uint64(schedule[1]))


@njit(cache=True)  # type: ignore[untyped-decorator]
def score_then_learn(  # type: ignore[no-untyped-def]
    row, first_event, slots, at, values, classes, hashes, kinds, levels, schedule, limits, counts, clock, whole, usual, where,
    data, header, pool_ring, pool_ordered, pool_counts, pool_names,
    score, threshold, p_value, alert, out_seen, needed, unit, reason, hardness, loudness,
    places, numbers, detail, detail_stop, ends,
):  # fmt: skip
    """Fold readings from `row` on; return (the row it stopped at, why).

    Parameters
    ----------
    classes
        Place of each reading's class among those with settings of their own; −1 for any other. It counts at a sensor's first reading.
    kinds, levels
        A row a class, the first for sensors without one: `kinds.table_of`, `kinds.levels_of`.
    schedule
        Lag and spread of hand-overs.
    limits
        Silence and gap in usual intervals (0: none).
    counts
        [sensors for which something is being built].
    clock
        Of the partition: `silence.CLOCK`, `LIVED`, `NEXT`.
    whole, usual, where
        A row a slot: `layout`; the usual interval, microseconds.
    pool_ring … pool_names
        Of the classes: `pool.Pools`.
    places … detail_stop, ends
        The alarms so far; ends = [how many, how many numbers of detail].
    """
    silence, gap = limits[0], limits[1]
    counted_kind, counted, allowed, counted_loud, allowed_loud = np.int64(-1), np.int64(-1), np.int64(0), np.int64(-1), np.int64(0)
    while row < len(slots):
        slot = slots[row]
        mine, its = whole[slot], where[slot]
        number = mine[layout.SEEN]
        length, normal_length = mine[layout.LENGTH], mine[layout.NORMAL_LENGTH]
        width = DETAIL_HEAD + 2 * length
        if ends[0] + 3 > len(places) or ends[1] + 2 * width + len(REGIME_DETAIL) > len(detail):
            return row, ALARMS_FULL
        finite = values[row] == values[row]
        fresh = number == 0 or at[row] > mine[layout.LAST_AT]
        if finite and fresh:
            if mine[layout.TASK] != layout.NONE and number == mine[layout.DUE]:
                return row, slot
            if mine[layout.KEPT] + 2 > its[layout.ROOM]:  # room first: whoever comes again after growing must find nothing changed
                room = block_size(max(2 * mine[layout.KEPT], FIRST_HISTORY))
                start = allocate(data, header, room)
                if start == NO_ROOM:
                    return row, ARENA_FULL
                if its[layout.ROOM] > 0:
                    for i in range(mine[layout.KEPT]):
                        data[start + i] = data[its[layout.HISTORY] + i]
                    release(data, header, its[layout.HISTORY], its[layout.ROOM])
                its[layout.HISTORY], its[layout.ROOM] = start, room
            if mine[layout.JUDGED] == normal_length - 1 and mine[layout.CENTROIDS] > 0 and not larger_ring(data, header, mine, its):
                return row, ARENA_FULL
        clock_before, lived_before = clock[CLOCK], clock[LIVED]
        live_on(clock, at[row], usual[slot])
        if mine[layout.SILENT] == 1:  # it may fall silent again, even if nothing that comes from it can be read
            clock[NEXT] = min(clock[NEXT], silent_from(clock[LIVED], usual[slot], silence))
        mine[layout.HEARD], mine[layout.SILENT] = clock[LIVED], 0
        if silence > 0.0 and clock[LIVED] // LOOK > lived_before // LOOK and clock[LIVED] >= clock[NEXT]:
            told = tell_silence(row, whole, usual, clock, silence, places, numbers, detail, detail_stop, ends)
            if not told or ends[0] + 3 > len(places) or ends[1] + 2 * width + len(REGIME_DETAIL) > len(detail):
                clock[CLOCK], clock[LIVED] = clock_before, lived_before  # whoever comes again finds the look still to be taken
                return row, ALARMS_FULL
        if number == 0:
            kind = classes[row] + 1 if 0 <= classes[row] < len(kinds) - 1 else 0
            length, normal_length, warm_up = kinds[kind, OF_LENGTH], kinds[kind, OF_NORMAL_LENGTH], kinds[kind, FIRST_RUNG]
            mine[layout.KIND], mine[layout.WANTED] = kind, kinds[kind, OF_CALIBRATION]
            mine[layout.LENGTH], mine[layout.NORMAL_LENGTH] = length, normal_length
            mine[layout.NEEDED] = warm_up + _wait(hashes[slot], warm_up, schedule) + mine[layout.WANTED]
        kind, wanted = mine[layout.KIND], mine[layout.WANTED]
        steps, epsilon, share = kinds[kind, RUNGS], levels[kind, EPSILON], levels[kind, EXPECTED]
        out_seen[row] = number
        needed[row] = mine[layout.NEEDED]
        unit[row] = number // normal_length if normal_length > 0 else 0
        if not finite or not fresh:
            reason[row] = NOT_A_NUMBER if not finite else REPEATED if at[row] == mine[layout.LAST_AT] else LATE
            if not finite and fresh:
                mine[layout.FILL] = 0  # a reading is missing here: no window reaches over it
            row += 1
            continue
        x = min(max(values[row], -LARGEST), LARGEST)
        if number > 0:
            interval = np.float64(at[row] - mine[layout.LAST_AT])
            if gap > 0.0 and number >= LEARNED and interval > gap * usual[slot]:
                mine[layout.FILL] = 0
            usual[slot] = usual_step(usual[slot], interval, number)
            clock[NEXT] = min(clock[NEXT], silent_from(clock[LIVED], usual[slot], silence))
        mine[layout.FILL] += 1
        if mine[layout.CENTROIDS] > 0:
            live, m = its[layout.LIVE], its[layout.MODEL]
            head = live + 5 * length + 1 + trail_size(normal_length)
            if number % normal_length == 0:
                mine[layout.JUDGED] = mine[layout.CONFIRMED] = 0
                mine[layout.INTERVAL], its[layout.SINCE] = np.int64(usual[slot]), -1
                data[head + MAXIMUM] = data[head + MAXIMUM + 1] = 0.0
            place = live + number % length
            window = place + 1
            oldest = data[place]
            data[place] = data[place + length] = x
            data[live + 4 * length + number % length] = at[row]
            centre = data[m + CENTRE]
            residual = 0.0
            if mine[layout.FILL] > AR_ORDER:
                residual = x - centre - data[m + AR]
                for k in range(1, AR_ORDER + 1):
                    residual -= data[m + AR + k] * (data[place + length - k] - centre)
            data[place + 2 * length] = data[place + 3 * length] = residual * residual
            if mine[layout.FILL] < length:
                reason[row] = NO_LOOK
            else:
                if mine[layout.FILL] == length:
                    refresh(data, window, m, mine[layout.CENTROIDS], length, normal_length)
                d = distance(data, window, oldest, m, mine[layout.CENTROIDS], length, normal_length, mine[layout.FILL] > length)
                loud = amplitude(data[m + SD], data[m + SPREAD], data[m + FLOOR_AT])
                trail = live + 5 * length + 1
                judged = max(d - data[trail - 1], 0.0)
                score[row] = judged
                loudness[row] = loud
                residuals = data[window + 2 * length : window + 3 * length]
                s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
                for i in range(0, length - length % 4, 4):
                    s0 += residuals[i]
                    s1 += residuals[i + 1]
                    s2 += residuals[i + 2]
                    s3 += residuals[i + 3]
                for i in range(length - length % 4, length):
                    s0 += residuals[i]
                hardness[row] = np.sqrt((s0 + s1) + (s2 + s3))
                if levels[kind, CONDITIONED] > 0.0:
                    moments = data[head + CONDITIONING : head + CONDITIONING + MOMENTS]
                    judged = score[row] = given_hardness(moments, judged, hardness[row])
                data[head + MAXIMUM] = max(data[head + MAXIMUM], judged)
                data[head + MAXIMUM + 1] = max(data[head + MAXIMUM + 1], loud)
                mine[layout.JUDGED] += 1
                c, count = its[layout.CALIBRATION], mine[layout.BASE] + mine[layout.HELD]
                c_loud = c + mine[layout.BASE] + wanted
                if mine[layout.NEWS] != 0:
                    e, used, earlier = ends[0], ends[1], its[layout.EARLIER + mine[layout.STORED] - 1]
                    places[e, ROW], places[e, SLOT], places[e, TEST], places[e, UNIT] = row, slot, REGIME, unit[row]
                    places[e, CRITICAL] = 0
                    numbers[e, :] = np.nan
                    numbers[e, SCORE], numbers[e, THRESHOLD] = data[earlier + TRIED], data[earlier + LINE]
                    kept = detail[used : used + len(REGIME_DETAIL)]
                    kept[0], kept[1], kept[2] = data[earlier + BUILT_FROM], data[earlier + BUILT_TO], data[earlier + USUAL_DISTANCE]
                    kept[3], kept[4] = data[earlier + LINE], data[earlier + TRIED]
                    kept[5], kept[6], kept[7] = data[m + BUILT_FROM], data[m + BUILT_TO], data[m + USUAL_DISTANCE]
                    kept[8], kept[9], kept[10] = data[m + TRIED], mine[layout.NEWS] - 1, mine[layout.ONSET]
                    kept[11], kept[12] = number, mine[layout.ONSET_AT]
                    ends[0], ends[1] = e + 1, used + len(REGIME_DETAIL)
                    detail_stop[e] = ends[1]
                    mine[layout.NEWS] = mine[layout.ONSET] = mine[layout.ONSET_AT] = 0
                if number >= mine[layout.NEEDED]:
                    end = mine[layout.RANKED]
                    if end != counted or kind != counted_kind:
                        counted, allowed = end, promised(end, epsilon / 2.0)
                    if count != counted_loud or kind != counted_kind:
                        counted_loud, allowed_loud = count, promised(count, epsilon / 2.0)
                    counted_kind = kind
                    as_high = 1 + end - smaller(data, c, end, judged)
                    as_loud = 1 + count - smaller(data, c_loud, count, loud)
                    threshold[row] = data[c + end - allowed] if allowed > 0 else np.inf
                    loud_threshold = data[c_loud + count - allowed_loud] if allowed_loud > 0 else np.inf
                    shape_p, loud_p = min(2.0 * as_high / (end + 1), 1.0), min(2.0 * as_loud / (count + 1), 1.0)
                    level, basis, loud_basis, blocks, loud_blocks = 0.0, PAPER, PAPER, np.int64(0), np.int64(0)
                    if mine[layout.BLOCKS] > 0 and mine[layout.INTERVAL] > 0 and levels[kind, FALSE_ALARMS] > 0.0:
                        level = block_level(levels[kind, FALSE_ALARMS], normal_length, mine[layout.INTERVAL])
                        pool, among, name = pool_ordered[kind], pool_counts[kind, 0, 0], hashes[slot]
                        basis, blocks, p, line = by_blocks(
                            data, mine, its, head, level / 2.0, share, SHAPE, judged, pool[SHAPE], among, name, unit[row]
                        )
                        if basis != PAPER:
                            shape_p, threshold[row] = min(2.0 * p, 1.0), line
                        loud_basis, loud_blocks, p, line = by_blocks(
                            data, mine, its, head, level / 2.0, share, AMPLITUDE, loud, pool[AMPLITUDE], among, name, unit[row]
                        )
                        if loud_basis != PAPER:
                            loud_p, loud_threshold = min(2.0 * p, 1.0), line
                    p_value[row] = min(shape_p, loud_p)
                    for test in (SHAPE, AMPLITUDE):
                        decides = basis if test == SHAPE else loud_basis
                        if decides != PAPER:
                            if (shape_p if test == SHAPE else loud_p) > level:
                                continue
                        elif (as_high > allowed) if test == SHAPE else (as_loud > allowed_loud):
                            continue
                        alert[row] = True
                        e, used = ends[0], ends[1]
                        places[e, ROW], places[e, SLOT], places[e, TEST], places[e, UNIT] = row, slot, test, unit[row]
                        numbers[e, :] = np.nan
                        if test == SHAPE:
                            places[e, CRITICAL] = as_high <= promised(end, epsilon / 200.0)
                            numbers[e, SCORE], numbers[e, THRESHOLD], numbers[e, P_VALUE] = judged, threshold[row], shape_p
                        else:
                            places[e, CRITICAL] = as_loud <= promised(count, epsilon / 200.0)
                            numbers[e, SCORE], numbers[e, THRESHOLD], numbers[e, P_VALUE] = loud, loud_threshold, loud_p
                        gain = np.nan
                        if decides != PAPER:
                            gain = evidence_with(data, mine, its, head, share, test, evidence_from(data, mine, its))
                            numbers[e, E_VALUE], places[e, CRITICAL] = gain, gain * level >= 200.0
                        kept = detail[used : used + width]
                        describe(data, window, m, np.int64(data[m + NEAREST]), length, normal_length, kept)
                        kept[0], kept[1], kept[4], kept[5] = d, threshold[row], data[m + LEVEL], data[m + SPREAD]
                        kept[6], kept[9], kept[10], kept[11] = data[m + FLOOR_AT], hardness[row], p_value[row], number
                        if decides == PAPER:
                            kept[12] = end if test == SHAPE else count
                        else:
                            kept[12] = blocks if test == SHAPE else loud_blocks
                        kept[13], kept[14], kept[15], kept[16] = loud, loud_threshold, loud_p, shape_p
                        kept[17], kept[18] = data[trail - 1], epsilon if decides == PAPER else level
                        kept[19], kept[20], kept[21] = decides, level, levels[kind, FALSE_ALARMS]
                        kept[22], kept[23], kept[24], kept[25] = mine[layout.INTERVAL] / SECOND, normal_length, gain, levels[kind, LEFT_OUT]
                        kept[26], kept[27] = levels[kind, CONDITIONED], judged
                        kept[STARTED] = data[live + 4 * length + (number + 1) % length]
                        ends[0], ends[1] = e + 1, used + width
                        detail_stop[e] = ends[1]
                if mine[layout.JUDGED] == normal_length:
                    pools = pool_ring[kind], pool_ordered[kind], pool_counts[kind], pool_names[kind]
                    end_block(data, mine, its, head, share, unit[row], *pools, hashes[slot])
                if mine[layout.HELD] < wanted:
                    insert(data, c, count, judged)
                    insert(data, c_loud, count, loud)
                    mine[layout.HELD] += 1
                    mine[layout.RANKED] = alike(data, c, count + 1, length)
                if mine[layout.TASK] != layout.CHANGE:  # else it is plain already
                    far = d > data[m + LINE]
                    if far and mine[layout.PAGE] == 0:
                        mine[layout.ONSET], mine[layout.ONSET_AT] = number, at[row]
                    mine[layout.PAGE] = page_step(mine[layout.PAGE], far)
                    if mine[layout.PAGE] == 0:
                        mine[layout.ONSET] = mine[layout.ONSET_AT] = 0
                if number % trail_stride(normal_length) == 0:
                    size = trail_size(normal_length)
                    data[trail + mine[layout.TRAILED] % size] = d
                    mine[layout.TRAILED] += 1
                    if mine[layout.TRAILED] >= size:
                        data[trail - 1] = excess(data[trail : trail + size], data[m + USUAL_DISTANCE], data[m + LINE])
        if mine[layout.RUNG] < steps or mine[layout.PAGE] > 0 or mine[layout.TASK] != layout.NONE:
            if mine[layout.FILL] == 1 and mine[layout.KEPT] > 0:
                data[its[layout.HISTORY] + mine[layout.KEPT]] = np.nan  # a seam: what stands on either side did not follow each other
                mine[layout.KEPT] += 1
            data[its[layout.HISTORY] + mine[layout.KEPT]] = x
            mine[layout.KEPT] += 1
        elif mine[layout.KEPT] > 0:
            mine[layout.KEPT] = 0
            if its[layout.ROOM] > LARGE_HISTORY:
                release(data, header, its[layout.HISTORY], its[layout.ROOM])
                its[layout.HISTORY], its[layout.ROOM] = -1, 0
        if mine[layout.TASK] == layout.NONE:
            task = layout.NONE
            if mine[layout.PAGE] > 0:
                stretch = number + 1 - mine[layout.ONSET]
                most = kinds[kind, FIRST_RUNG + steps - 1]
                if stretch >= kinds[kind, FIRST_RUNG] and (mine[layout.PAGE] >= DECIDED * normal_length or stretch >= most):
                    task = layout.CHANGE
                    stretch = min(stretch, mine[layout.KEPT])
                    for i in range(stretch):
                        data[its[layout.HISTORY] + i] = data[its[layout.HISTORY] + mine[layout.KEPT] - stretch + i]
                    mine[layout.KEPT] = stretch
            if task == layout.NONE and mine[layout.RUNG] < steps and mine[layout.KEPT] >= kinds[kind, FIRST_RUNG + mine[layout.RUNG]]:
                task = layout.LADDER
            if task != layout.NONE:
                mine[layout.TASK], mine[layout.TRIGGERED], mine[layout.SIZE] = task, first_event + row, mine[layout.KEPT]
                mine[layout.DUE] = number + 1 + _wait(hashes[slot], number + 1, schedule)
                if task == layout.CHANGE:
                    mine[layout.NEEDED] = mine[layout.DUE] + wanted
                counts[0] += 1
        mine[layout.SEEN] = number + 1
        mine[layout.LAST_AT] = at[row]
        row += 1
    return row, DONE
