"""The very same fold over a file, with no broker: what the worker would have said.

Rows are dealt to partitions as Kafka would deal their keys (murmur2), and the i-th row of a partition stands for its offset i.
Outside inputs enter by the cuts of a live run where these are given, else at every new hour of event time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detectors.aggregation.policy import COST, RULES
from detectors.protocol import Columns, Ints
from state.keys import PackedKeys
from streams import alerts, cuts, model_files, scores
from streams.agents.limits import AT_ONCE
from streams.agents.pending import Pending, Waiting
from streams.agents.population import HOUR, merged
from streams.cuts import Cut
from streams.decoding.tabular import TableBatch
from streams.definitions import Definition
from streams.model_files import FileTraining, ModelFile
from streams.partition import Origins, Outcome, Partition, Report, run
from streams.transport.broker import partition_of_key

ALERTS_AT_ONCE = 1 << 18  # bytes
WRITTEN = ("scores.parquet", "alerts.jsonl", "cuts.jsonl", model_files.NAME, "report.json", "employees.parquet")


class CutRefused(ValueError):
    """A given cut cannot be adopted; the message names it."""


@dataclass
class Kept:
    """What the report needs of labelled rows, in file order; bad rows are left out."""

    at: list[Ints] = field(default_factory=list)
    score: list[Any] = field(default_factory=list)
    p_value: list[Any] = field(default_factory=list)
    alert: list[Any] = field(default_factory=list)
    probability: list[Any] = field(default_factory=list)  # cards: the model's, NaN before there is one,
    by_model: list[Any] = field(default_factory=list)  # and whether it was the score
    key: list[bytes] = field(default_factory=list)
    label: list[Any] = field(default_factory=list)


class Backtest:
    """One run over one file; `outcome` files are written as it goes, so that memory does not grow with the file.

    Parameters
    ----------
    given
        The cut log of a live run, by partition; None to adopt at the hours of event time.
    models
        The records that these cuts name.
    limits
        Employees' limits, in the order in which their topic would have them; where cuts are given these have them.
    """

    def __init__(
        self,
        definition: Definition,
        out: Path,
        audit: alerts.Audit,
        partitions: int = 1,
        given: dict[int, list[Cut]] | None = None,
        models: Path | None = None,
        limits: Iterable[Waiting] = (),
    ) -> None:
        self.definition, self.audit, self.given = definition, audit, given
        self.parts = [definition.partition(number) for number in range(partitions)]
        self.kept = Kept()
        self.ruled: dict[str, tuple[int, int]] = {}  # cards, by rule: how many were decided, how many alert
        self.events = self.bad = self.alert_rows = self.episodes = self.tested = self.not_ready = 0
        self.seconds = self.cpu = self.training_cpu = 0.0  # of folding; CPU-seconds of it, and of what is learned besides
        out.mkdir(parents=True, exist_ok=True)
        for name in WRITTEN:  # an earlier run's files are not this one's
            (out / name).unlink(missing_ok=True)
        self._out = out
        self.training: FileTraining | None = None
        if definition.train is not None and given is None:
            self.training = FileTraining(definition.train(relabel_hours=0), out)  # a file's labels are never late

        self.resolved = ModelFile(models or Path(model_files.NAME)).resolved if self.training is None else self.training.resolved
        self._alerts = (out / "alerts.jsonl").open("wb", buffering=ALERTS_AT_ONCE)
        self._cuts = (out / "cuts.jsonl").open("wb")
        self._writer: pq.ParquetWriter | None = None
        self._partition_of: dict[bytes, int] = {}
        self._hour: int | None = None
        self._adopted: Any = None
        self._limits = [Pending(AT_ONCE) for _ in self.parts]
        for each in limits:
            self._limits[partition_of_key(each.item["key"].encode(), partitions)].add(each.offset, each)

    def feed(self, batch: TableBatch) -> None:
        """Fold a batch of rows and write what was said of each."""
        started, begun, learning = time.perf_counter(), time.process_time(), self.training_cpu
        if self.training is not None and batch.label is not None:
            self.training.labelled(batch.columns, batch.label[batch.rows] > 0)
            self.training_cpu += time.process_time() - begun
        number = self._deal(batch.keys)
        good = np.zeros(len(batch), np.int64) - 1  # place of a row among the good ones
        good[batch.rows] = np.arange(len(batch.rows))
        offsets = np.empty(len(batch), np.int64)
        for part in self.parts:
            mine = np.flatnonzero(number == part.number)
            offsets[mine] = part.next + np.arange(len(mine))
        table: dict[str, Any] = {}
        for first, last, new_hour in self._hours(batch):
            if new_hour is not None:
                self._adopt_new(new_hour)
            for part in self.parts:
                mine = first + np.flatnonzero(number[first:last] == part.number)
                if len(mine):
                    self._fold(part, batch, mine, offsets[mine], good, table)
        self.seconds += time.perf_counter() - started
        self.cpu += time.process_time() - begun - (self.training_cpu - learning)
        self._write(batch, table)

    def close(self) -> None:
        """Finish the files; those of a file without rows are empty."""
        if self._writer is None:
            fields: dict[str, Any] = {name: np.empty(0, dtype) for name, dtype in self.definition.detector.fields.items()}
            nothing = Columns(PackedKeys.pack([]), np.empty(0, np.int64), fields)
            self._write(TableBatch(0, nothing, np.empty(0, np.int64), [], [], None, {}, [], self.definition.name), {})
        self._alerts.close()
        self._cuts.close()
        if self.training is not None:
            self.training.close()
        assert self._writer is not None
        self._writer.close()

    def _deal(self, keys: Sequence[bytes | None]) -> Ints:
        """The partition of every row; one without a key goes to 0."""
        if len(self.parts) == 1:
            return np.zeros(len(keys), np.int64)
        known = self._partition_of
        for key in keys:
            if key is not None and key not in known:
                known[key] = partition_of_key(key, len(self.parts))
        return np.fromiter((0 if key is None else known[key] for key in keys), np.int64, len(keys))

    def _hours(self, batch: TableBatch) -> Iterable[tuple[int, int, int | None]]:
        """Stretches of rows within one hour of event time, with the hour where a new one begins; event time never goes back."""
        if not (self.definition.merges or self.training) or self.given is not None or not len(batch.rows):
            return [(0, len(batch), None)]
        hour = np.full(len(batch), np.iinfo(np.int64).min)
        hour[batch.rows] = batch.columns.at // HOUR
        if self._hour is not None:
            hour[0] = max(hour[0], self._hour)
        hour = np.maximum.accumulate(hour)
        # what is known of employees before their first posting is adopted before it
        before = self._hour if self._hour is not None else hour[0] - any(pending.due(int(hour[0]) * HOUR)[1] for pending in self._limits)
        starts = np.flatnonzero(np.diff(hour, prepend=before))
        self._hour = int(hour[-1])
        edges = [0, *starts.tolist(), len(batch)]
        return [(a, b, int(hour[a]) if a in starts else None) for a, b in pairwise(edges) if b > a]

    def _adopt_new(self, hour: int) -> None:
        """Let every partition adopt what its stream has made by the beginning of an hour."""
        inputs: dict[str, Any] = {}
        if self.definition.merges:
            shared = merged(self.definition.detector, [part.detector.contribution(part.state) for part in self.parts])
            if shared is not None and shared != self._adopted:
                self._adopted = shared
                inputs |= shared
        if self.training is not None:
            begun = time.process_time()
            inputs |= self.training.at(hour)
            self.training_cpu += time.process_time() - begun
        for part, pending in zip(self.parts, self._limits, strict=True):
            through, items = pending.due(hour * HOUR)
            told = {"limits": {"through": through, "items": items}} if items else {}
            if inputs or told:
                self._adopt(part, Cut(part.number, part.next, inputs | told))
            pending.adopted(through)

    def _adopt(self, part: Partition, cut: Cut) -> None:
        self._cuts.write(cuts.dump(cut) + b"\n")
        try:
            self._tell(part, part.adopt(Cut(cut.partition, cut.n, self.resolved(cut.inputs))))
        except ValueError as error:
            raise CutRefused(f"the cut of partition {cut.partition} at {cut.n}: {error}") from error

    def _fold(self, part: Partition, batch: TableBatch, mine: Ints, offsets: Ints, good: Ints, table: dict[str, Any]) -> None:
        """Fold rows `mine` of the batch (its good ones), stretch by stretch between the given cuts."""
        own = self.given.get(part.number, []) if self.given is not None else []
        begin, end = int(offsets[0]), int(offsets[-1]) + 1
        for first, last, adopted in cuts.stretches(begin, end, own):
            for cut in adopted:
                self._adopt(part, cut)
            rows = mine[first - begin : last - begin]
            places = good[rows]
            folded = places >= 0
            columns = take(batch.columns, places if folded.all() else places[folded])
            born = offsets[first - begin : last - begin][folded]
            outcome = run(part.fold(columns, Origins.of_record(part.topic, part.number, born, np.zeros_like(born)), last))
            self._keep(part, rows[folded], columns, outcome, len(batch), table)

    def _keep(self, part: Partition, rows: Ints, columns: Columns, outcome: Outcome, size: int, table: dict[str, Any]) -> None:
        verdicts = outcome.verdicts
        if self.training is not None:
            begun = time.process_time()
            self.training.scored(columns, verdicts)
            self.training_cpu += time.process_time() - begun
        whole = len(rows) and rows[-1] - rows[0] == len(rows) - 1
        places = slice(int(rows[0]), int(rows[-1]) + 1) if whole else rows
        for name, column in scores.table_of(columns, verdicts).items():
            if name not in table:
                table[name] = np.full(size, np.nan) if column.dtype.kind == "f" else np.zeros(size, column.dtype)
            table[name][places] = column
        if "rule" in verdicts.evidence:
            for name in RULES[1:]:
                mine = verdicts.evidence["rule"] == name
                decided, alerted = self.ruled.get(name, (0, 0))
                self.ruled[name] = decided + int(np.count_nonzero(mine)), alerted + int(np.count_nonzero(verdicts.alert & mine))
        self._tell(part, outcome.reports)
        self.events += len(verdicts)
        self.alert_rows += int(np.count_nonzero(verdicts.alert))
        self.not_ready += int(np.count_nonzero(verdicts.not_ready))
        self.tested += int(np.count_nonzero(~np.isnan(verdicts.score) & ~verdicts.not_ready))

    def _tell(self, part: Partition, reports: Iterable[Report]) -> None:
        for report in reports:
            event = alerts.cloud_event(
                report, stream=part.stream, partition=part.number, last_cut=part.last_cut,
                detector=part.detector, promise=self.definition.promise, audit=self.audit,
                parts=self.definition.parts(report.transition.key),
            )  # fmt: skip
            self._alerts.write(alerts.encode(event) + b"\n")
            self.episodes += report.transition.phase == "opened"

    def _write(self, batch: TableBatch, table: dict[str, Any]) -> None:
        """Write the rows of a batch, in file order, each in its place."""
        size = len(batch)
        self.bad += size - len(batch.rows)
        bad = np.ones(size, np.bool_)
        bad[batch.rows] = False
        if not table:
            table = scores.table_of(batch.columns, self.definition.detector.process(self.parts[0].state, batch.columns.span(0, 0)))
            table = {name: np.full(size, np.nan) if c.dtype.kind == "f" else np.zeros(size, c.dtype) for name, c in table.items()}
        reasons = [scores.reason_text(code) for code in table.pop("reason").tolist()]
        for place, text in batch.bad:
            reasons[place] = text
        columns: dict[str, Any] = {
            "row": pa.array(batch.first_row + np.arange(size)),
            "key": pa.array([None if key is None else key.decode("utf-8", "replace") for key in batch.keys], pa.string()),
            "at": pa.array(table.pop("at"), pa.timestamp("us", "UTC"), mask=bad),
        }
        for name in ("score", "p_value"):
            columns[name] = _nullable(table.pop(name))
        columns["is_alert"], columns["not_ready"] = pa.array(table.pop("is_alert"), mask=bad), pa.array(table.pop("not_ready"), mask=bad)
        columns["reason"] = pa.array(reasons, pa.string())
        for name, column in table.items():
            columns[name] = _nullable(column) if column.dtype.kind == "f" else pa.array(column, mask=bad)
        written = pa.table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._out / "scores.parquet", written.schema, compression="zstd")
        self._writer.write_table(written)
        if batch.label is not None:
            kept, rows = self.kept, batch.rows
            kept.at.append(batch.columns.at)
            for name in ("score", "p_value"):
                getattr(kept, name).append(columns[name].fill_null(np.nan).to_numpy()[rows])
            if "fraud_probability" in columns:
                kept.probability.append(columns["fraud_probability"].fill_null(np.nan).to_numpy()[rows])
                kept.by_model.append(np.array(columns["rule"].take(pa.array(rows)).to_pylist()) == RULES[COST])
            kept.alert.append(columns["is_alert"].fill_null(False).to_numpy(zero_copy_only=False)[rows])
            kept.key.extend(batch.columns.keys.tolist())
            kept.label.append(batch.label[rows] > 0)


def take(columns: Columns, rows: Ints) -> Columns:
    """The events of these numbers, which ascend; without copying where none is left out between them."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return columns.span(int(rows[0]), int(rows[-1]) + 1)
    return Columns(columns.keys.take(rows), columns.at[rows], {name: column[rows] for name, column in columns.fields.items()})


def _nullable(column: Any) -> Any:
    return pa.array(column, mask=np.isnan(column))
