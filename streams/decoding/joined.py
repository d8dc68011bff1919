"""A chunk's JSON objects as one JSON list, so that one call decodes them all: half the time of a call a record.

Joining is only safe where each value is one whole object. ``{…},{…,"x":[0`` and ``{"q":1}],"y":1}`` are both malformed, but with a
comma between them they are well formed, and what is a dead letter would depend on how the log was cut into chunks. So every value
is walked first: its first byte opens an object which its last byte, and none before, closes. Brackets are counted outside strings;
which bytes are strings, a JSON parser that gets through can see no other way. Hence a list that decodes has the very objects that
its values have by themselves. Where it does not, or a value is something else (null, blanks around it), they are decoded one by one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from detectors.protocol import Ints
from streams.transport.chunk import Chunk

_OPEN, _COMMA, _CLOSE = 0x5B, 0x2C, 0x5D
_QUOTE, _BACKSLASH = 0x22, 0x5C
_BRACE, _END_BRACE, _CASE = 0x7B, 0x7D, 0x20  # [ and ] are { and } without this bit


def as_list(chunk: Chunk) -> bytes | None:
    """All values as one JSON list; None if one of them is not an object from its first byte to its last.

    >>> from streams.transport.record_chunks import chunk_of_records
    >>> from types import SimpleNamespace as Record
    >>> def chunk(*values):
    ...     records = [Record(offset=n, timestamp=0, key=b"k", value=value, headers=()) for n, value in enumerate(values)]
    ...     return chunk_of_records("t", 0, 0, len(values), records)
    >>> as_list(chunk(b'{"a":1}', b'{"b":"}"}'))
    b'[{"a":1},{"b":"}"}]'
    >>> as_list(chunk(b'{"a":1}],"b":[{}'))
    """
    out = np.empty(int((chunk.value_to - chunk.value_from).sum()) + len(chunk) + 2, np.uint8)
    size = _join(chunk.buffer, np.ascontiguousarray(chunk.value_from), np.ascontiguousarray(chunk.value_to), out)
    return out[:size].tobytes() if size else None


def warm() -> None:
    """Compile the kernel, or load it from its cache."""
    nothing: Ints = np.empty(0, np.int64)
    _join(np.empty(1, np.uint8), nothing, nothing, np.empty(2, np.uint8))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _join(buffer, begin, end, out):  # type: ignore[no-untyped-def]
    """Write the list to `out` and return its length, 0 if it cannot be written."""
    at = 0
    for row in range(len(begin)):
        i, stop = begin[row], end[row]
        if stop - i < 2 or buffer[i] != _BRACE or buffer[stop - 1] != _END_BRACE:
            return 0
        out[at] = _COMMA if row else _OPEN
        at += 1
        depth = 0
        while i < stop:
            byte = buffer[i]
            out[at] = byte
            at += 1
            i += 1
            if byte == _QUOTE:
                while i < stop:
                    byte = buffer[i]
                    out[at] = byte
                    at += 1
                    i += 1
                    if byte == _QUOTE:
                        break
                    if byte == _BACKSLASH and i < stop:
                        out[at] = buffer[i]
                        at += 1
                        i += 1
            elif byte | _CASE == _BRACE:
                depth += 1
            elif byte | _CASE == _END_BRACE:
                depth -= 1
                if depth == 0 and i < stop:
                    return 0
        if depth != 0:
            return 0
    if at == 0:
        out[0] = _OPEN
        at = 1
    out[at] = _CLOSE
    return at + 1
