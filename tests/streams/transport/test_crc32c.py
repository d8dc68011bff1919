from __future__ import annotations

import numpy as np
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from streams.transport.crc32c import STRETCH, crc32c


@given(st.integers(0, 3 * STRETCH + 100), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_the_checksum_is_aiokafkas_at_every_length_and_place(length: int, start: int, seed: int) -> None:
    content = np.random.default_rng(seed).integers(0, 256, start + length + 3, np.uint8)
    reference = calc_crc32c(content[start : start + length].tobytes())
    assert int(crc32c(content, start, start + length)) == reference


def test_a_long_block_is_summed_in_stretches_to_the_same_end() -> None:
    for length in (3 * STRETCH - 1, 3 * STRETCH, 6 * STRETCH, 6 * STRETCH + 9, 1 << 20):
        content = np.random.default_rng(length).integers(0, 256, length, np.uint8)
        assert int(crc32c(content, 0, length)) == calc_crc32c(content.tobytes())
