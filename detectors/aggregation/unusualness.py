"""How unusual a transaction is for its card before anybody has labelled anything: the sum of three surprises.

A surprise is −log of a tail probability under the card's normal: of its amount (so large a one), its payment mode (one so rare) and
its time gap (one so short). The card's normal is the population's, that of all cards of the partition, shrunk towards the card's own
as it gathers history: the population counts as `prior_weight` (n₀) transactions. A card's first transaction is thus judged by the
population's normal, and nobody waits.

The sum is only a score: what it means is decided by its rank among the partition's last scores (`rank_p_value`).

Moments are running ones in the order of the events; late transactions, and amounts that are not positive, are no part of them.
"""

from __future__ import annotations

import math

from numba import njit

# Whole numbers of a card and of the population: positive amounts, those of them above the mean, gaps, their sum in seconds,
# transactions judged; then a count per mode.
AMOUNTS, ABOVE, GAPS, GAP_SECONDS, TRANSACTIONS, MODES = range(6)
# Moments of the natural logarithm of positive amounts: mean, sum of squared deviations of those above it.
MEAN, SQUARES = range(2)

START_VARIANCE = 1.0  # of log amounts, worth n₀ transactions, until the partition has some: payments spread over about an e-fold
SMALLEST_VARIANCE = 1e-4  # one per cent of the amount: a card that always pays the same is not certain to the cent
LONGEST_GAP = 365 * 86_400  # seconds: a card that rests longer teaches a year


@njit(cache=True)  # type: ignore[untyped-decorator]
def log_upper_tail(z):  # type: ignore[no-untyped-def]
    """Log of P(Z > z) for a standard normal Z; beyond z = 25, where erfc nears underflow, by its asymptotic series (error < 1e-5)."""
    if z < 25.0:
        return math.log(0.5 * math.erfc(z * 0.7071067811865476))
    return -0.5 * z * z - math.log(z * 2.5066282746310002) - 1.0 / (z * z)


@njit(cache=True)  # type: ignore[untyped-decorator]
def shrunk_mean(prior_weight, mean, card_count, card_mean):  # type: ignore[no-untyped-def]
    """The card's mean with n₀ transactions of the population added: the posterior mean of a normal's mean."""
    return (prior_weight * mean + card_count * card_mean) / (prior_weight + card_count)


@njit(cache=True)  # type: ignore[untyped-decorator]
def shrunk_variance(prior_weight, above, squares, card_above, card_squares):  # type: ignore[no-untyped-def]
    """The card's variance with n₀ transactions of the population added; the population's begins at START_VARIANCE.

    It is the spread of the amounts *above* the mean. Tips and coffees make the lower half of log amounts long; taken into one
    variance they would hide a large payment. On weeks of the handbook's transactions this doubles or triples the frauds among the
    strangest thousandth.
    """
    population = (prior_weight * START_VARIANCE + squares) / (prior_weight + above)
    return max(SMALLEST_VARIANCE, (prior_weight * population + card_squares) / (prior_weight + card_above))


@njit(cache=True)  # type: ignore[untyped-decorator]
def amount_surprise(log_amount, mean, variance):  # type: ignore[no-untyped-def]
    """−log P(an amount so large), the logarithm of amounts taken as normal. Small amounts are no surprise."""
    return max(0.0, -log_upper_tail((log_amount - mean) / math.sqrt(variance)))


@njit(cache=True)  # type: ignore[untyped-decorator]
def mode_share(mode, modes, whole, card, prior_weight):  # type: ignore[no-untyped-def]
    """p_c(A_j): the card's share of a mode, shrunk to the population's, itself smoothed by one transaction a mode.

    `whole` and `card` are rows of whole numbers, the modes' counts from MODES on.
    """
    all_cards, own = 0, 0
    for j in range(modes):
        all_cards += whole[MODES + j]
        own += card[MODES + j]
    population = (whole[MODES + mode] + 1.0) / (all_cards + modes)
    return (card[MODES + mode] + prior_weight * population) / (own + prior_weight)


@njit(cache=True)  # type: ignore[untyped-decorator]
def mode_surprise(mode, modes, whole, card, prior_weight):  # type: ignore[no-untyped-def]
    """−log P(a mode as rare as this one or rarer): nothing for the card's usual mode."""
    here = mode_share(mode, modes, whole, card, prior_weight)
    tail = here
    for j in range(modes):
        if j != mode:
            share = mode_share(j, modes, whole, card, prior_weight)
            if share <= here:
                tail += share
    return max(0.0, -math.log(tail))


@njit(cache=True)  # type: ignore[untyped-decorator]
def usual_gap(whole, card, prior_weight):  # type: ignore[no-untyped-def]
    """The card's mean time between transactions in seconds, shrunk to the population's; 0 where nobody has had a gap yet."""
    if whole[GAPS] == 0:
        return 0.0
    population = whole[GAP_SECONDS] / whole[GAPS]
    return (prior_weight * population + card[GAP_SECONDS]) / (prior_weight + card[GAPS])


@njit(cache=True)  # type: ignore[untyped-decorator]
def gap_surprise(gap, usual):  # type: ignore[no-untyped-def]
    """−log P(a gap so short) under an exponential with this mean; times are whole seconds, so a gap g means g … g + 1.

    0 where there is no gap (−1) or nothing to compare it with.
    """
    if gap < 0 or usual <= 0.0:
        return 0.0
    return max(0.0, -math.log(-math.expm1(-(gap + 1.0) / usual)))


@njit(cache=True)  # type: ignore[untyped-decorator]
def learn_amount(whole, moments, log_amount):  # type: ignore[no-untyped-def]
    """One amount more, for a card's or the population's moments; "above" is above the mean so far (Welford's two deviations)."""
    whole[AMOUNTS] += 1
    off = log_amount - moments[MEAN]
    moments[MEAN] += off / whole[AMOUNTS]
    if off > 0.0:
        whole[ABOVE] += 1
        moments[SQUARES] += off * (log_amount - moments[MEAN])


@njit(cache=True)  # type: ignore[untyped-decorator]
def learn_gap(whole, gap):  # type: ignore[no-untyped-def]
    """One gap more."""
    whole[GAPS] += 1
    whole[GAP_SECONDS] += min(gap, LONGEST_GAP)


@njit(cache=True)  # type: ignore[untyped-decorator]
def rank_p_value(at_least, held):  # type: ignore[no-untyped-def]
    """(1 + #{sᵢ ≥ s}) / (m + 1): for exchangeable scores the chance of one that ranks so high, never 0."""
    return (1.0 + at_least) / (held + 1.0)


@njit(cache=True)  # type: ignore[untyped-decorator]
def rank_threshold(ordered, held, epsilon):  # type: ignore[no-untyped-def]
    """The past score that a score must exceed for its rank p-value to be ≤ ε; needs 1/(held + 1) ≤ ε."""
    allowed = math.floor(epsilon * (held + 1.0))  # past scores that may be as high: the most with (1 + k)/(m + 1) ≤ ε
    while rank_p_value(allowed, held) > epsilon:
        allowed -= 1
    return ordered[held - 1 - allowed]


def needed_scores(epsilon: float) -> int:
    """The fewest past scores m among which a rank can be as rare as ε: 1/(m + 1) ≤ ε."""
    needed = max(1, math.ceil(1.0 / epsilon) - 2)  # the reciprocal may be rounded either way
    while 1.0 / (needed + 1.0) > epsilon:
        needed += 1
    return needed
