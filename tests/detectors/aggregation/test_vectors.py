from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.aggregation.features import MERCHANT_DAYS, feature_names
from detectors.aggregation.vectors import DAY, HOUR, Transactions, hourly, vectors
from tests import naive

WINDOWS, MODES, N0 = (1, 3), ("online", "offline"), 5.0
NAMES = feature_names(WINDOWS, MODES)

# card, seconds since the one before (of any card), amount, mode, address match, credit limit
payments = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0, 1, 600, 2 * HOUR, DAY // 2, DAY, 3 * DAY]),
        st.sampled_from([1, 250, 1_000, 2_500, 2_501, 40_000, 0, -300]),
        st.integers(-1, 1),
        st.integers(-1, 1),
        st.sampled_from([-1, 100_000]),
    ),
    min_size=1,
    max_size=30,
)


def transactions(rows):
    card, since, amount, mode, match, limit = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    time = 1_522_540_800 + np.cumsum(since)
    return Transactions(card, time, amount, mode, match, limit, np.full(len(card), -1))


def naive_vector(rows, times, i):
    """The features of transaction i by name, from lists of what came before."""
    card, _, amount, mode, match, limit = rows[i]
    now = int(times[i])
    hour = now // HOUR * HOUR
    known = [k for k in range(i) if times[k] < hour]  # what the population's normal is of
    mine = [k for k in range(i) if rows[k][0] == card]

    def gaps(of):
        before = {k: [j for j in range(k) if rows[j][0] == rows[k][0]] for k in of}
        return [min(int(times[k] - times[before[k][-1]]), 365 * DAY) for k in of if before[k]]

    def normal(k):
        j = [x for x in range(k) if rows[x][0] == rows[k][0]]
        everybody = [rows[x][2] for x in range(k) if times[x] < times[k] // HOUR * HOUR]
        return naive.own_normal([(int(times[x]), rows[x][2]) for x in j], int(times[k]), everybody, N0)

    def unusual(k):
        mean = normal(k)[1]
        return int(mean > 0 and rows[k][2] > 2.5 * mean)

    logs = [math.log(rows[k][2]) for k in mine if rows[k][2] > 0]
    all_logs = [math.log(rows[k][2]) for k in known if rows[k][2] > 0]
    gap = now - int(times[mine[-1]]) if mine else None
    count, mean, spread = normal(i)
    day = (now // DAY + 3) % 7
    found = {
        "amount": amount, "log_amount": math.log(max(amount, 1)), "night": now % DAY < 7 * HOUR, "weekend": day >= 5,
        "address_match": match == 1, "address_mismatch": match == 0, "limit_share": amount / limit if limit > 0 else 0.0,
        "log_gap": math.log(1 + min(gap if gap is not None else 30 * DAY, 30 * DAY)),
        "own_count": count, "own_mean": mean, "amount_ratio": amount / mean if mean else 0.0,
        "amount_z": (amount - mean) / spread if spread else 0.0,
        "mode_online": mode == 0, "mode_offline": mode == 1,
    }  # fmt: skip
    found["surprise_amount"] = naive.amount_surprise(amount, all_logs, logs, N0)
    modes = [rows[k][3] for k in known if rows[k][3] >= 0], [rows[k][3] for k in mine if rows[k][3] >= 0]
    found["surprise_mode"] = naive.mode_surprise(mode, 2, *modes, N0) if mode >= 0 else 0.0
    everybodys = gaps(known)
    found["surprise_gap"] = naive.gap_surprise(gap, everybodys, gaps(mine), N0) if everybodys else 0.0
    longest = WINDOWS[-1] * DAY
    rarity = 1 - naive.old_share([(int(times[k]), rows[k][3]) for k in mine], mode, now, longest, N0, 2) if mode >= 0 else 0.0
    found["mode_rarity"] = rarity
    big = [(int(times[k]), rows[k][2], unusual(k)) for k in mine]
    rare = 1 - naive.old_share([(t, u) for t, _, u in big], 1, now, longest, N0, 2)
    of_mode = [(int(times[k]), rows[k][2], rows[k][3]) for k in mine]
    of_match = [(int(times[k]), rows[k][2], rows[k][4]) for k in mine]
    for days in WINDOWS:
        span = days * DAY
        n, weight, simple, gapped, timed = naive.aggregates(of_mode, span, now, mode, (0, 1))[:5]
        n_mode, _, simple_mode, gapped_mode, timed_mode = naive.aggregates(of_mode, span, now, mode, (0, 1))[5:]
        found |= {
            f"n_{days}d": n, f"sa_{days}d": simple, f"tg_{days}d": timed / span, f"txgap_{days}d": gapped,
            f"mean_{days}d": timed / weight if weight else 0.0,
            f"n_mode_{days}d": n_mode, f"sa_mode_{days}d": simple_mode, f"tg_mode_{days}d": timed_mode / span,
            f"txgap_mode_{days}d": gapped_mode, f"cond_mode_{days}d": rarity * timed_mode / span,
            f"tg_match_{days}d": naive.time_gap(of_match, span, now, match) / span if match >= 0 else 0.0,
            f"n_big_{days}d": len([1 for _, _, u in naive.in_window(big, span, now) if u]),
            f"cond_big_{days}d": rare * naive.time_gap(big, span, now, 1) / span / mean if mean else 0.0,
        }  # fmt: skip
    return found


@settings(max_examples=60)
@given(payments)
def test_vectors_equal_the_slow_way(rows):
    of = transactions(rows)
    computed = vectors(of, hourly(of, 2), np.zeros((len(MERCHANT_DAYS), len(rows))), windows=WINDOWS, modes=MODES, prior_weight=N0)
    for i in range(len(rows)):
        reference = naive_vector(rows, of.time, i)
        assert set(reference) | {f"merchant_{days}d" for days in MERCHANT_DAYS} == set(NAMES)
        for place, name in enumerate(NAMES):
            if name in reference:
                assert computed[i, place] == pytest.approx(float(reference[name]), rel=1e-7, abs=1e-6), name


@given(payments, st.integers(0, 29))
def test_what_comes_later_changes_no_vector(rows, upto):
    of = transactions(rows)
    upto = min(upto, len(rows))
    before = Transactions(*(column[:upto] for column in of))
    shares = np.zeros((len(MERCHANT_DAYS), len(rows)))
    if upto:
        part = vectors(before, hourly(before, 2), shares[:, :upto])
        assert np.array_equal(part, vectors(of, hourly(of, 2), shares)[:upto])


def test_shares_stand_where_they_are_named():
    of = transactions([(0, 0, 100, 0, 1, -1)])
    computed = vectors(of, hourly(of, 2), np.array([[0.1], [0.2], [0.3]]), windows=WINDOWS, modes=MODES)
    assert [computed[0, NAMES.index(f"merchant_{days}d")] for days in MERCHANT_DAYS] == [0.1, 0.2, 0.3]
