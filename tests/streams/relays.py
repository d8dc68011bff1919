"""A relay's surroundings for tests: alert topics in memory, a receiver on a port of its own, and blows at any step."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from config.load import defaults, replaced
from streams.relay.courier import Around
from streams.relay.inbox import Reassigned
from streams.relay.metrics import RelayMetrics
from streams.relay.post import post
from streams.relay.quiet import Quiet, Suppressions
from streams.transport.log import Record

SILENCES = {"sensors": 604_800.0, "cards": 86_400.0, "employees": 31_622_400.0, "errors": 3_600.0}
START = 1_700_000_000.0  # of the tests' clock


def alert(episode, number=0, phase="opened", *, stream="sensors", key="p-1", test="shape", severity="warning", partition=0, at=START):
    """A report as an agent would say it, in what the relay reads of it."""
    from detectors.wording import instant

    data = {
        "stream": stream, "key": key, "at": instant(int(at * 1e6)), "test": test, "phase": phase, "severity": severity,
        "episode": {"id": episode, "report": number, "from": instant(int(at * 1e6)), "to": instant(int(at * 1e6)), "max_score": 4.0},
        "score": 4.0, "threshold": 3.0, "p_value": 0.01, "e_value": None, "reasons": [f"{phase} {number}"],
        "evidence": {"distance": 4.0}, "audit": {"partition": partition},
    }  # fmt: skip
    identity = episode if number == 0 else f"{episode}.{number}"
    return {"specversion": "1.0", "id": identity, "type": f"nilometer.alert.{phase}", "subject": key, "data": data}


class Killed(BaseException):
    """The process is gone."""


class Blow:
    """Kills at the n-th step: before it is done, or after."""

    def __init__(self, at=None, after=False):
        self.at, self.after, self.steps = at, after, 0

    def step(self, work):
        self.steps += 1
        if self.steps == self.at and not self.after:
            raise Killed
        done = work()
        if self.steps == self.at and self.after:
            raise Killed
        return done


class Topics:
    """What outlives a relay: the alert topics, committed offsets, dead letters, and which sources are silent."""

    def __init__(self):
        self.logs = defaultdict(list)
        self.committed = {}
        self.letters = []
        self.silent = set()

    def say(self, *alerts, topic=None, at=START, headers=()):
        for each in alerts:
            place = (topic or f"alerts.{each['data']['stream']}", each["data"]["audit"]["partition"])
            value = each if isinstance(each, bytes) else json.dumps(each).encode()
            self.put(place, value, at, headers)

    def put(self, place, value, at=START, headers=()):
        log = self.logs[place]
        log.append(Record(*place, len(log), int(at * 1000), b"key", value, list(headers)))


class MemoryInbox:
    """An inbox on `Topics`; it says `Reassigned` when its time has come, and ends the courier when all is delivered."""

    def __init__(self, topics, blow=None, done=None):
        self.topics, self.blow = topics, blow or Blow()
        self.done = done or (lambda: None)
        self.positions = {}
        self.reassign = False

    def joined(self):
        return True

    def begin(self):
        return self.blow.step(self._begin)

    def _begin(self):
        self.reassign = False
        self.positions = {place: self.topics.committed.setdefault(place, 0) for place in sorted(self.topics.logs)}
        return dict(self.positions)

    def history(self, place, end):
        return iter(self.blow.step(lambda: [record for record in self.topics.logs[place] if record.offset < end]))

    def poll(self, seconds, *, paused=False):
        if self.reassign:
            raise Reassigned
        return [] if paused else self.blow.step(self._poll)

    def _poll(self):
        found = []
        for place in self.positions:
            found += self.topics.logs[place][self.positions[place] :][:3]
            self.positions[place] = min(len(self.topics.logs[place]), self.positions[place] + 3)
        if not found:
            self.done()
        return found

    def commit(self, ends):
        self.blow.step(lambda: self.topics.committed.update(ends))

    def bury(self, letter, destination):
        self.blow.step(lambda: self.topics.letters.append((letter, destination)))

    def silent(self, stream, partition, seconds):
        return (stream, partition) in self.topics.silent

    def lag(self):
        return sum(len(log) - self.topics.committed.get(place, 0) for place, log in self.topics.logs.items())


class Receiver:
    """An HTTP server in this process; `script` says what comes of the next posts, and 200 afterwards.

    A status is answered, with header fields and words if these stand beside it; "cut" cuts the connection before an answer, "unanswered"
    does so after taking it, "late" never answers, "drip" answers a byte now and then, until `hold` is set or nobody listens.
    """

    def __init__(self, script=()):
        self.script = list(script)
        self.posts = []  # (path, headers, body)
        self.hold = threading.Event()
        self.left = threading.Event()  # the other side has hung up on "drip"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                what = outer.script.pop(0) if outer.script else 200
                if what == "late":
                    outer.hold.wait(10)
                if what == "drip":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n")
                    try:
                        while not outer.hold.wait(0.01):
                            self.wfile.write(b"X")
                    except OSError:
                        outer.left.set()
                if what == "unanswered":
                    outer.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                if what in ("cut", "late", "unanswered", "drip"):
                    self.close_connection = True
                    return
                status, headers, *words = what if isinstance(what, tuple) else (what, {})
                said = b"".join(words)
                if status == 200:
                    outer.posts.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def bodies(self):
        return [json.loads(body) for _, _, body in self.posts]

    @property
    def ids(self):
        return [body["id"] for body in self.bodies]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()


class World:
    """Settings, clock, suppressions and metrics around couriers; `stop` ends them."""

    def __init__(self, **relay):
        fast = {"backoff": 0.001, "longest_backoff": 1.0, "tries": 3, "timeout": 5.0}
        self.settings = replaced(defaults(), relay={**fast, **relay})
        self.now = START
        self.stopped = False
        self.suppressions = Suppressions()
        self.metrics = RelayMetrics()
        self.quiet = Quiet(self.settings.relay, self.suppressions)

    def around(self, blow=None, hidden=()):
        def send(*arguments):
            return blow.step(lambda: post(*arguments)) if blow else post(*arguments)

        return Around(self.settings.relay, self.quiet, SILENCES, self.metrics, lambda: self.stopped, lambda: self.now, send, hidden)

    def stop(self):
        self.stopped = True

    def deliver(self, make, topics, blow=None):
        """Run a courier until nothing is left in the topics."""
        self.stopped = False
        courier = make(MemoryInbox(topics, blow, self.stop), self.around(blow))
        courier.run()
        return courier

    def count(self, name, destination):
        return self.metrics.registry.get_sample_value(f"nilometer_relay_{name}", {"destination": destination})
