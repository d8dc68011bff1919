"""The feature vector of a transaction: what models read, the score log keeps, and a decision is explained by.

A vector is made of the card's own state, of the transaction, and of what was adopted at cuts (the population's normal, merchants' shares of
known frauds); of nothing else of the partition, so that it is the same however many partitions there are. The transaction itself is in
none of its aggregates. All are float64; what is not given is 0. Amounts are minor units, times days unless said.

===================  =========================================================================================================
amount               of the transaction; a refund's is negative
log_amount           ln(amount), 0 for a refund
night, weekend       1 from 0:00 to 6:59 UTC; 1 on Saturday and Sunday UTC
address_match        1 where the addresses match; 0 also where that is not given
address_mismatch     1 where they do not
limit_share          amount over the card's credit limit
log_gap              ln(1 + seconds since the card's last transaction); a month at most, and for a card's first
surprise_amount      −ln P(so large an amount) on this card,
surprise_mode        −ln P(so rare a payment mode),
surprise_gap         −ln P(so short a gap): see `unusualness`
mode_rarity          1 − p_c(A_j): how seldom the card pays so, by what is older than the longest window
own_count            Σ e^(−λ·age) of the card's payments: how many its normal rests on (λ = 3 / 30 days)
own_mean             their mean amount, the population's median counting as n₀ payments
amount_ratio         amount / own_mean
amount_z             (amount − own_mean) / the spread of the card's amounts, shrunk likewise
merchant_Nd          the merchant's share of known frauds, linear-time-weighted over N days that end a label delay ago
mode_NAME            1 where the transaction is paid so: one for each mode of the table
===================  =========================================================================================================

and for each window of d days

===================  =========================================================================================================
n_d, sa_d, tg_d      number, Eq. (1), and Eq. (4) over d: amounts weighted by the part of the window that is left, 1 − age/d
txgap_d              Eq. (3), amounts weighted by place
mean_d               the time-gap weighted mean amount
n_mode_d             the same of the transactions paid as this one is (the gate C_j) …
sa_mode_d
tg_mode_d
txgap_mode_d
cond_mode_d          … and (1 − p_c(A_j))·TG: the paper's full feature
tg_match_d           TG/d of those whose address match is as this one's; 0 where it is not given
n_big_d              number of amounts that were unusual for the card (more than 2.5 × its own mean when they came)
cond_big_d           (1 − p_c(unusual))·TG/d of those, in units of the card's own mean
===================  =========================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_WINDOWS = (1, 3, 7)  # days
DEFAULT_MODES = ("online", "offline")
MERCHANT_DAYS = (7, 14, 30)

# Places of the features that do not depend on settings; the modes come after them, then a block a window.
(
    AMOUNT, LOG_AMOUNT, NIGHT, WEEKEND, ADDRESS_MATCH, ADDRESS_MISMATCH, LIMIT_SHARE, LOG_GAP,
    SURPRISE_AMOUNT, SURPRISE_MODE, SURPRISE_GAP, MODE_RARITY, OWN_COUNT, OWN_MEAN, AMOUNT_RATIO, AMOUNT_Z, MERCHANT,
) = range(17)  # fmt: skip
FIXED = MERCHANT + len(MERCHANT_DAYS)
FIXED_NAMES = (
    "amount", "log_amount", "night", "weekend", "address_match", "address_mismatch", "limit_share", "log_gap",
    "surprise_amount", "surprise_mode", "surprise_gap", "mode_rarity", "own_count", "own_mean", "amount_ratio", "amount_z",
    *(f"merchant_{days}d" for days in MERCHANT_DAYS),
)  # fmt: skip
PER_WINDOW_NAMES = (
    "n", "sa", "tg", "txgap", "mean", "n_mode", "sa_mode", "tg_mode", "txgap_mode", "cond_mode", "tg_match", "n_big", "cond_big",
)  # fmt: skip
N, SA, TG, TXGAP, MEAN, N_MODE, SA_MODE, TG_MODE, TXGAP_MODE, COND_MODE, TG_MATCH, N_BIG, COND_BIG = range(13)
PER_WINDOW = len(PER_WINDOW_NAMES)


def feature_names(windows: Sequence[int] = DEFAULT_WINDOWS, modes: Sequence[str] = DEFAULT_MODES) -> tuple[str, ...]:
    """The names of a vector's places, for windows in days and the payment modes of the table.

    >>> names = feature_names((1, 7), ("online", "offline"))
    >>> len(names), names[0], names[FIXED], names[-1]
    (47, 'amount', 'mode_online', 'cond_big_7d')
    """
    blocks = (f"{name}_{days}d" for days in windows for name in PER_WINDOW_NAMES)
    return (*FIXED_NAMES, *(f"mode_{mode}" for mode in modes), *blocks)


FEATURES = feature_names()
_LOGARITHMIC = {"n", "sa", "tg", "txgap", "mean", "cond"}


def logarithmic(names: Sequence[str]) -> tuple[bool, ...]:
    """Which features a linear model takes as sign(x)·ln(1 + |x|): the windows' counts and sums, which have no upper end.

    >>> logarithmic(("amount", "sa_7d", "cond_big_7d", "own_mean"))
    (False, True, True, False)
    """
    return tuple(name.partition("_")[0] in _LOGARITHMIC for name in names)
