"""Minimum description length: how many bits a partition of the candidate windows saves (NorM, section IV-B)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Symbols = NDArray[np.int64]

# Symbols, equally likely for a standard normal, one a point: the paper says neither how many nor whether words are shortened.
ALPHABET = 10
_CUTS = norm.ppf(np.arange(1, ALPHABET) / ALPHABET)


def discretise(windows: Floats) -> Symbols:
    """Return the SAX symbols 0 … 9 of z-normalised windows, a symbol a point."""
    return np.searchsorted(_CUTS, windows, side="right")


def description_length(symbols: Symbols) -> float:
    """DL(v) = |v| · H(v) bits, H the entropy of the word's symbols; differences of words may hold negative ones.

    >>> description_length(np.array([0, 1, 0, 1]))
    4.0
    """
    counts = np.bincount(symbols - symbols.min())
    shares = counts[counts > 0] / len(symbols)
    return float(-len(symbols) * (shares * np.log2(shares)).sum()) + 0.0


def cluster_saving(words: Symbols, centre: Symbols) -> float:
    """DLC(C) − DLC(C | centre): what writing the words as differences from the centre saves.

    DLC(C) = Σ DL(v); DLC(C | centre) = DL(centre) + Σ DL(v − centre).
    """
    alone = sum(description_length(word) for word in words)
    given = sum(description_length(word - centre) for word in words)
    return alone - (description_length(centre) + given)


def bitsave(windows: Floats, members: Sequence[NDArray[np.int64]]) -> float:
    """The bits that a partition saves, summed over its clusters; the centre of a cluster is the mean of its members.

    Parameters
    ----------
    windows
        z-normalised windows, shape (m, ℓ_NM).
    members
        The rows of each cluster.
    """
    words = discretise(windows)
    return sum(cluster_saving(words[rows], discretise(windows[rows].mean(axis=0))) for rows in members)
