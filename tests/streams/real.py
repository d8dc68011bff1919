"""The real files in the columns of the contract."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HANDBOOK_BEGINS = 1_522_540_800  # 2018-04-01


def sensors(data: Path, file: Path, points: int = 100_000) -> Path:
    """The first points of MIT-BIH 803, 128 a second from 1970 on."""
    table = pq.read_table(data / "sensors" / "mba_803.parquet").slice(0, points)
    n = table.num_rows
    columns = {"sensor_id": ["mba_803"] * n, "at": np.arange(n) / 128.0, "value": table["value"], "label": table["label"]}
    return _written(columns, file)


def cards(data: Path, file: Path, days: int = 7) -> Path:
    """The handbook's first days."""
    table = pq.read_table(data / "cards" / "handbook_2018-04_08.parquet")
    table = table.filter(pc.less(table["t"], days * 86_400))
    columns = {
        "transaction_id": pc.cast(table["tx_id"], pa.string()),
        "card_id": pc.cast(table["card"], pa.string()),
        "at": pc.add(pc.cast(table["t"], pa.int64()), HANDBOOK_BEGINS),
        "amount": pc.divide(pc.cast(table["amount_cents"], pa.float64()), 100.0),
        "merchant_id": pc.cast(table["terminal"], pa.string()),
        "label": table["fraud"],
    }
    return _written(columns, file)


def employees(data: Path, file: Path) -> Path:
    """Purchasing cards of 2010, one an employee."""
    table = pq.read_table(data / "employees" / "nigrini_purchasing_cards_2010.parquet")
    return _written({"employee_id": table["card"], "at": table["date"], "amount": table["amount"]}, file)


def _written(columns: dict[str, object], file: Path) -> Path:
    pq.write_table(pa.table(columns), file)
    return file
