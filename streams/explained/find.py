"""Finding an alert: by its id, or the beginning of it, among JSON lines or in the alert topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from streams.errors import UserError

Json = Mapping[str, Any]
FEWEST = 6  # characters of an id that may stand for it
SHOWN = 5  # ids told where a beginning fits several


def read(value: bytes | str) -> Json | None:
    """An alert; None if it is something else."""
    try:
        said = msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(said, dict) or not isinstance(said.get("data"), dict) or not isinstance(said.get("id"), str):
        return None
    return said if {"stream", "key", "test", "phase", "at", "episode"} <= said["data"].keys() else None


def find(wanted: str, values: Iterable[bytes | str], where: str) -> Json:
    """The alert of this id; of the beginning of one, its episode's latest report before the end.

    Raises
    ------
    UserError
        There is none, or several episodes begin so.
    """
    if len(wanted) < FEWEST:
        raise UserError(f"{wanted}: wanted an alert's id, or its first {FEWEST} characters at least")
    episodes: dict[str, Json] = {}
    for value in values:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if wanted not in text:
            continue
        alert = read(value)
        if alert is None:
            continue
        if alert["id"] == wanted:
            return alert
        if alert["id"].startswith(wanted):
            name = alert["id"].partition(".")[0]
            if name not in episodes or alert["data"]["phase"] != "closed":
                episodes[name] = alert
    if not episodes:
        raise UserError(f"{wanted}: no such alert in {where}")
    if len(episodes) > 1:
        several = ", ".join(sorted(episodes)[:SHOWN]) + ("" if len(episodes) <= SHOWN else ", …")
        raise UserError(f"{wanted}: {len(episodes)} episodes begin so ({several}); more of the id, please")
    return next(iter(episodes.values()))
