"""Versions in a file: what a backtest publishes as it trains, and what cuts by reference are resolved with afterwards.

A line a record, ``{"offset": 12, "record": {"model": …, "shares": …}}``, the record's bytes as they stand in the topic. A backtest
writes `models.jsonl` beside its `cuts.jsonl`; a live run's are printed by `nilometer state cuts --models`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from streams import topics
from streams.agents.labels import identities, of_file
from streams.agents.population import HOUR
from streams.durable.references import NoSuchRecord, Records, as_reference, digest
from streams.training import Ripening, Rows, Trainer

NAME = "models.jsonl"
TOPIC = topics.models("cards")  # as it stands in references: without the prefix


class Line(msgspec.Struct):
    """A record and where it stands in its topic."""

    offset: int
    record: msgspec.Raw


_decode = msgspec.json.Decoder(Line).decode


def line(offset: int, value: bytes) -> bytes:
    """A record as a line, without its end."""
    return msgspec.json.encode(Line(offset, msgspec.Raw(value)))


class ModelFile:
    """The records of a file, found by reference.

    Raises
    ------
    NoSuchRecord
        From `resolved`, where a cut names what is not in the file or is another record.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._records = path, Records()
        self._begins: dict[int, int] | None = None

    def resolved(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """A cut's inputs, references replaced by what they name."""
        for name, told in inputs.items():
            reference = as_reference(told)
            if reference is None or self._records.holds(reference):
                continue
            value = self._read(reference.offset)
            if value is None or digest(value) != reference.digest:
                what = "does not hold" if value is None else "holds another record than"
                raise NoSuchRecord(f"{self._path} {what} the {name} of {reference.topic}/{reference.partition} at {reference.offset}")
            self._records.put(*reference.place, value)
        return self._records.resolved(inputs)

    def _read(self, offset: int) -> bytes | None:
        if self._begins is None:
            self._begins = {}
            if self._path.exists():
                with self._path.open("rb") as lines:
                    begin = 0
                    for text in lines:
                        self._begins[_decode(text).offset] = begin
                        begin += len(text)
        if offset not in self._begins:
            return None
        with self._path.open("rb") as lines:
            lines.seek(self._begins[offset])
            return bytes(_decode(lines.readline()).record)


class FileTraining:
    """A trainer over a file: rows mature as event time goes on, and each hour's version is a line of `models.jsonl`.

    Parameters
    ----------
    folder
        Where `models.jsonl` goes.
    """

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self.trainer = trainer
        self._ripening, self._records = Ripening(len(trainer.names)), Records()
        self._file = (folder / NAME).open("wb")
        self._offset = 0

    def labelled(self, columns: Any, label: Iterable[bool]) -> None:
        """The labels of good rows, which come as late as the delay says."""
        numbers = identities(columns.keys, columns.fields["transaction"])
        for each in of_file(numbers, columns.at, label, self.trainer.delay_hours * HOUR):
            self.trainer.label(each)

    def scored(self, columns: Any, verdicts: Any) -> None:
        """What a fold has just said."""
        self._ripening.add(Rows.of_verdicts(columns, verdicts, self.trainer.names))

    def at(self, hour: int) -> dict[str, Any]:
        """Learn what has matured by an hour; return the inputs to adopt, by reference."""
        self.trainer.wanted(hour)
        found = self.trainer.advance(hour, self._ripening.take(self.trainer.ripe_before(hour)))
        value = msgspec.json.encode(found)
        self._file.write(line(self._offset, value) + b"\n")
        reference = self._records.put(TOPIC, 0, self._offset, value).plain()
        self._offset += 1
        return dict.fromkeys(found, reference)

    def resolved(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs as a partition takes them."""
        return self._records.resolved(inputs)

    def close(self) -> None:
        self._file.close()
