"""What a posting costs: microseconds of processor time in the fold, bytes of an employee, milliseconds of a truncated fit.

Postings of many employees in turn, so that an employee's row has left the processor's nearer caches before he posts again. Processor
time, the least of several rounds: what others do on the machine lengthens a round and never shortens it.
"""

from __future__ import annotations

import math
import time

import numpy as np

from detectors.benford.detector import BenfordDetector
from detectors.benford.truncated import fit_truncated
from detectors.protocol import Columns, admit
from state.keys import PackedKeys
from tests.papers.benford_stream.simulated import APPROVAL, BEGIN, LIMIT, MINUTE, MU, SIGMA

BATCH = 8_192  # postings, about as many as a fetch brings
ROUNDS = 5


def posting(employees: int, postings: int = 400_000, seed: int = 0) -> float:
    """Return the microseconds of a posting of so many employees, scattering a little, so that no shortcut is taken."""
    rng = np.random.default_rng(seed)
    amount = np.clip(10.0 ** rng.normal(MU + 2.0, SIGMA, postings), 1, LIMIT - 1).astype(np.int64)
    names = [f"employee {i}" for i in range(employees)]
    zeros = np.zeros(postings, np.int64)
    fields = {"amount": amount, "limit": np.full(postings, LIMIT), "approval_limit": np.full(postings, APPROVAL)}
    fields |= {"upstream": zeros, "partition": zeros, "offset": np.arange(postings)}
    who = [names[i] for i in rng.integers(0, employees, postings).tolist()]
    columns = Columns(PackedKeys.pack(who), BEGIN + MINUTE // 4 * np.arange(postings), fields)
    detector = BenfordDetector(mu=MU, sigma=SIGMA)
    state = detector.new_state()
    state.population.scatters[:] = 0.002, 0.05, 0.002
    state.population.repeat_shares[:] = 0.05
    batches = [columns.span(first, min(first + BATCH, postings)) for first in range(0, postings, BATCH)]
    taken = []
    for _ in range(ROUNDS + 1):  # the first one meets everybody, and compiles
        spent = 0.0
        for batch in batches:
            admit(detector, state, batch)
            begun = time.process_time()
            detector.process(state, batch)
            spent += time.process_time() - begun
        taken.append(1e6 * spent / postings)
    return min(taken[1:])


def employee() -> int:
    """Return the bytes of an employee's row at the default settings."""
    state = BenfordDetector().new_state()
    state.fit()
    return state.rows.whole[0].nbytes


def truncated_fit(amounts: int = 1_000) -> float:
    """Return the milliseconds of a fit of an employee's own mu and sigma."""
    y = np.random.default_rng(1).normal(MU, SIGMA, 3 * amounts)
    y = y[y < math.log10(LIMIT / 100)][:amounts]
    moments, bounds = np.array([[len(y), y.mean(), ((y - y.mean()) ** 2).sum()]]), np.array([[0.0, LIMIT / 100]])
    taken = []
    for _ in range(ROUNDS + 1):
        begun = time.process_time()
        for _ in range(100):
            fit_truncated(moments, bounds, mu=MU, sigma=SIGMA)
        taken.append(10.0 * (time.process_time() - begun))
    return min(taken[1:])
