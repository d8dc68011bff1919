"""The score log: what was said of every event, in columns, each row with the coordinates it is de-duplicated by.

One or more records a batch, each below the broker's limit; `through` is the last offset that has been decided, so that silence
below it means "nothing found". What was forwarded to us has its coordinates where it was born, and a column `source` says where that is.

Feature vectors are sixty columns more than a person reads, and as decimal text most of what a worker writes. They stand packed under
`vectors`: ``{"names": […], "f64": "…"}``, little-endian float64, one column after another, zstd, base64; `decoded` gives a record with
every column in plain.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cramjam
import msgspec
import numpy as np

from detectors.protocol import REASONS, Columns, Floats, Verdicts
from streams import topics
from streams.partition import Origins

CELLS = 30_000  # in a record, of about 20 characters each (packed ones of 11 at most): well below 900 kB
VECTORS = "vectors"
LEVEL = 1  # of zstd: most of what it gains is in the many zeros
NAMED_BY = ("transaction", "merchant")  # fields by which late labels find their transaction


def records(
    stream: str, partition: int, through: int, columns: Columns, origins: Origins, verdicts: Verdicts, packed: Sequence[str] = ()
) -> Iterator[bytes]:
    """Return the score records of a batch as JSON; numbers are written so that they are read back to the bit, NaN as null.

    `packed` names the evidence that goes under `vectors`; `source` has ``card.transactions/3``, or nothing for what was born here.
    """
    keys = columns.keys.tolist()
    table = {name: columns.fields[name] for name in NAMED_BY if name in columns.fields} | table_of(columns, verdicts)
    vectors = [table.pop(name) for name in packed]
    here = (topics.source(stream), partition)
    names = ["" if source == here else "/".join(map(str, source)) for source in origins.sources]
    born = {"source": [names[number] for number in origins.source.tolist()]} if any(names) else {}
    many = CELLS // (len(table) + 3 + -(-3 * len(vectors) // 5))
    for first in range(0, max(len(verdicts), 1), many):
        rows = slice(first, first + many)
        yield msgspec.json.encode(
            {
                "stream": stream,
                "partition": partition,
                "through": through,
                "offset": origins.offset[rows].tolist(),
                "index": origins.index[rows].tolist(),
                **{name: column[rows] for name, column in born.items()},
                "key": [key.decode("utf-8", "replace") for key in keys[rows]],
                **{name: _listed(column[rows]) for name, column in table.items()},
                **({VECTORS: {"names": list(packed), "f64": _packed([column[rows] for column in vectors])}} if vectors else {}),
            }
        )


def decoded(value: bytes) -> dict[str, Any]:
    """A record with every column in plain, as lists."""
    record: dict[str, Any] = msgspec.json.decode(value)
    told = record.pop(VECTORS, None)
    if told is not None:
        record |= {name: _listed(column) for name, column in zip(told["names"], _unpacked(told), strict=True)}
    return record


def vectors_of(record: Mapping[str, Any], names: Sequence[str]) -> Floats | None:
    """The columns of these names of a record as JSON has it, shape (n, F), packed or in plain; None where it lacks one."""
    told = record.get(VECTORS)
    if told is None:
        if not all(name in record for name in names):
            return None
        return np.stack([np.array(record[name], np.float64) for name in names], axis=1)
    if told["names"] == list(names):
        return np.ascontiguousarray(_unpacked(told).T)
    place = {name: number for number, name in enumerate(told["names"])}
    if not all(name in place for name in names):
        return None
    return np.ascontiguousarray(_unpacked(told)[[place[name] for name in names]].T)


def _packed(columns: Sequence[Any]) -> str:
    plain = np.stack(columns).astype("<f8", copy=False)
    return base64.b64encode(bytes(cramjam.zstd.compress(plain.tobytes(), LEVEL))).decode()


def _unpacked(told: Mapping[str, Any]) -> Floats:
    plain = bytes(cramjam.zstd.decompress(base64.b64decode(told["f64"])))
    return np.frombuffer(plain, "<f8").astype(np.float64, copy=False).reshape(len(told["names"]), -1)


def table_of(columns: Columns, verdicts: Verdicts) -> dict[str, Any]:
    """The columns that the score log and `scores.parquet` share, by name."""
    return {
        "at": columns.at,
        "score": verdicts.score,
        "threshold": verdicts.threshold,
        "p_value": verdicts.p_value,
        "is_alert": verdicts.alert,
        "not_ready": verdicts.not_ready,
        "seen": verdicts.seen,
        "needed": verdicts.needed,
        "reason": verdicts.reason,
        **verdicts.evidence,
    }


def reason_text(code: int) -> str | None:
    """Why a row has no score, None where nothing is to be said."""
    return REASONS[code] or None


def _listed(column: Any) -> list[Any]:
    if column.dtype.kind != "f":
        return column.tolist()  # type: ignore[no-any-return]
    bad = ~np.isfinite(column)
    if not bad.any():
        return column.tolist()  # type: ignore[no-any-return]
    # JSON has no NaN and no infinity: NaN becomes null, an infinite threshold the word for it.
    return [None if x != x else ("inf" if x > 0 else "-inf") if x in (np.inf, -np.inf) else x for x in column.tolist()]
