"""One HTTP POST, and what came of it. A redirection is no delivery: the client below would go on without the body."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

READ_BYTES = 2_000  # of an answer: what it says of a refusal
LONGEST_RETRY_AFTER = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """The status, 0 where there was none; what was said; after how many seconds to try again, if that was said, too."""

    status: int
    words: str
    retry_after: float = 0.0

    @property
    def delivered(self) -> bool:
        return 200 <= self.status < 300

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.words}" if self.status else self.words


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """Not followed."""


_opener = urllib.request.build_opener(_Stay)


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
    """Post a body. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY); certificates are held against the system's."""
    try:
        bare, login = without_login(url)
        request = urllib.request.Request(bare, body, {"User-Agent": "nilometer", **login, **headers}, method="POST")
        with _opener.open(request, timeout=timeout) as answer:
            answer.read(READ_BYTES)
            return Answer(answer.status, answer.reason)
    except urllib.error.HTTPError as refused:
        with refused:
            try:
                said = refused.read(READ_BYTES).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                said = ""
        words = "".join(c if c.isprintable() else " " for c in said)
        return Answer(refused.code, " ".join(words.split()) or refused.reason, _seconds(refused.headers.get("Retry-After")))
    except (OSError, http.client.HTTPException, ValueError) as problem:
        reason = problem.reason if isinstance(problem, urllib.error.URLError) else problem
        return Answer(0, f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason))


def without_login(url: str) -> tuple[str, dict[str, str]]:
    """An address without the user and password that stand in it, and these as a header.

    >>> without_login("http://me:secret@host:9093/x")
    ('http://host:9093/x', {'Authorization': 'Basic bWU6c2VjcmV0'})
    """
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    return urlunsplit(parts._replace(netloc=host)), {"Authorization": f"Basic {b64encode(unquote(login).encode()).decode()}"}


def _seconds(text: str | None) -> float:
    return min(float(text), LONGEST_RETRY_AFTER) if text is not None and text.isdecimal() else 0.0
