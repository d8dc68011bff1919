"""The one port a worker opens: ``/metrics`` for Prometheus, ``/healthz`` and ``/readyz`` for whoever restarts it.

Bound to loopback unless a setting says otherwise, and serving nothing else.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

Answer = tuple[bool, dict[str, Any]]  # whether all is well, and what to say


class PortError(OSError):
    """The port cannot be had; the message says which setting chooses another."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""


class HealthServer:
    """Serves until closed; port 0 takes any free one (`port` tells which)."""

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, health: Callable[[], Answer], ready: Callable[[], Answer]
    ) -> None:
        metrics = make_wsgi_app(registry)
        answers = {"/healthz": health, "/readyz": ready}

        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                scraped: Iterable[bytes] = metrics(environ, start_response)
                return scraped
            if path not in answers:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"try /metrics, /healthz or /readyz\n"]
            well, text = answers[path]()
            start_response("200 OK" if well else "503 Service Unavailable", [("Content-Type", "application/json")])
            return [json.dumps(text).encode() + b"\n"]

        try:
            self._server = make_server(host, port, application, _Server, _Quiet)
        except OSError as error:
            raise PortError(f"cannot serve metrics on {host}:{port} ({error.strerror}): choose another metrics.port, 0 for any") from error
        self.host, self.port = host, self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
