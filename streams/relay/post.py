"""One HTTP POST, and what came of it, within a time. A redirection is no delivery: the client below would go on without the body."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
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


class _Request(urllib.request.Request):
    """A request whose connection can be cut by another thread."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._late = False

    def connected(self, opened: socket.socket) -> None:
        """Take note of a socket."""
        with self._lock:
            self._sockets.append(opened)
            if self._late:
                raise TimeoutError

    def cut(self) -> None:
        """End whatever waits for the other side, now and from now on."""
        with self._lock:
            self._late = True
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)  # a TLS socket's own would take the layer from under its reader


class _Noted:
    """A connection whose request knows every socket of it: the bare one, and the same within TLS."""

    def __init__(self, *arguments: Any, request: _Request, **named: Any) -> None:
        self._request = request
        super().__init__(*arguments, **named)

    @property
    def sock(self) -> Any:
        """As `http.client` has it."""
        return self._sock

    @sock.setter
    def sock(self, opened: Any) -> None:
        self._sock = opened
        if opened is not None:
            self._request.connected(opened)


class _Plain(_Noted, http.client.HTTPConnection):  # type: ignore[misc]  # sock is an attribute there
    pass


class _Secure(_Noted, http.client.HTTPSConnection):  # type: ignore[misc]
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: Any) -> Any:
        """By a connection that can be cut."""
        return self.do_open(_Plain, request, request=request)  # type: ignore[arg-type]


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: Any) -> Any:
        """By a connection that can be cut."""
        return self.do_open(_Secure, request, request=request)  # type: ignore[arg-type]


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """Not followed."""


_opener = urllib.request.build_opener(_Stay, _Http, _Https)


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
    """Post a body, and have an answer after `timeout` seconds at most: from the look-up of the name to the last byte that is read.

    A socket's own timeout begins anew with every byte. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY); certificates are
    held against the system's.
    """
    try:
        bare, login = without_login(url)
        request = _Request(bare, body, {"User-Agent": "nilometer", **login, **headers}, method="POST")
    except ValueError as problem:
        return _failed(problem)
    came: list[Answer | BaseException] = []

    def work() -> None:
        try:
            came.append(_posted(request, timeout))
        except BaseException as problem:
            came.append(problem)

    thread = threading.Thread(target=work, name="post", daemon=True)
    thread.start()
    thread.join(timeout)
    if not came:
        request.cut()
        return Answer(0, f"TimeoutError: no whole answer within {timeout:g} s")
    if isinstance(came[0], BaseException):
        raise came[0]
    return came[0]


def _posted(request: _Request, timeout: float) -> Answer:
    try:
        with _opener.open(request, timeout=timeout) as answer:
            answer.read(READ_BYTES)
            return Answer(answer.status, _words(answer.reason))
    except urllib.error.HTTPError as refused:
        with refused:
            try:
                said = refused.read(READ_BYTES).decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                said = ""
        return Answer(refused.code, _words(said) or _words(refused.reason), _seconds(refused.headers.get("Retry-After")))
    except (OSError, http.client.HTTPException, ValueError) as problem:
        return _failed(problem)


def _failed(problem: Exception) -> Answer:
    reason = problem.reason if isinstance(problem, urllib.error.URLError) else problem
    return Answer(0, _words(f"{type(reason).__name__}: {reason}" if isinstance(reason, Exception) else str(reason)))


def _words(said: str) -> str:
    r"""What somebody else has said, in one line and with nothing in it that a terminal obeys.

    >>> _words("not  " + chr(27) + "[31mhere ")
    'not \\x1b[31mhere'
    """
    line = " ".join(said.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


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
