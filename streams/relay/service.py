"""The relay as a process: a thread for each destination, one that reads suppressions, and what it says of itself."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from config.load import secrets
from config.settings import Settings
from streams import topics
from streams.errors import UserError
from streams.relay.alertmanager import Alertmanager
from streams.relay.courier import Around, Courier
from streams.relay.inbox import Inbox, KafkaInbox
from streams.relay.metrics import RelayMetrics
from streams.relay.post import without_login
from streams.relay.quiet import Quiet, Suppressions
from streams.relay.webhook import Webhook
from streams.telemetry import logs

AGAIN_SECONDS = 3.0  # after a failure of Kafka's
STOP_SECONDS = 30.0  # that a thread has to come to an end
SHORTEST = 6  # characters of a part of a secret: shorter ones are in every other word

Make = Callable[[Inbox], Courier]


class Service:
    """Runs until told to stop; `failed` says that it cannot go on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._known = threading.Event()
        self.failed = threading.Event()
        self.metrics = RelayMetrics()
        self._suppressions = Suppressions()
        self._trouble: dict[str, str] = {}
        self._couriers: dict[str, Courier] = {}
        self.destinations = destinations(settings, self._around())
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to read and to deliver."""
        self._spawn("suppressions", self._keep_suppressions)
        for name, make in self.destinations.items():
            self.metrics.begin(name)
            self._spawn(name, lambda name=name, make=make: self._keep_serving(name, make))  # type: ignore[misc]

    def stop(self) -> None:
        """End in order: what is not delivered is not committed, and will be by the next one."""
        self._stop.set()
        end = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def healthy(self) -> tuple[bool, dict[str, Any]]:
        """Whether every thread lives, for ``/healthz``."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        return not dead and not self.failed.is_set(), {"dead": dead}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether all that is read can be delivered, for ``/readyz``."""
        failing = [name for name in self.destinations if self.metrics.failing(name)]
        waiting = [name for name in self.destinations if name not in self._couriers or not self._couriers[name].serving]
        well = self._known.is_set() and not waiting and not failing and not self._trouble
        return well, {"waiting": waiting, "failing": failing, "trouble": dict(self._trouble)}

    def _around(self) -> Around:
        settings = self._settings
        silences = {
            "sensors": settings.sensors.silence_seconds,
            "cards": settings.cards.silence_seconds,
            "employees": settings.benford.silence_seconds,
            "errors": settings.calibration.silence_seconds,
        }
        quiet = Quiet(settings.relay, self._suppressions)
        return Around(settings.relay, quiet, silences, self.metrics, self._stop.is_set, hidden=hidden(settings))

    def _spawn(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException:
                self.failed.set()
                raise

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _keep_serving(self, name: str, make: Make) -> None:
        while not self._known.wait(0.2):
            if self._stop.is_set():
                return
        self._keep(name, lambda: self._serve(name, make))

    def _serve(self, name: str, make: Make) -> None:
        inbox = KafkaInbox(self._settings, group=f"nilometer-relay-{name}")
        try:
            courier = self._couriers[name] = make(inbox)
            self._trouble.pop(name, None)
            courier.run()
        finally:
            self._couriers.pop(name, None)
            inbox.close()

    def _keep(self, name: str, work: Callable[[], None]) -> None:
        """Do it until told to stop; what Kafka cannot do now is tried again."""
        from kafka.errors import KafkaError

        while not self._stop.is_set():
            try:
                work()
            except (KafkaError, UserError) as problem:
                self._trouble[name] = f"{type(problem).__name__}: {problem}"
                logs.say(f"{name}: {self._trouble[name]}; trying again every {AGAIN_SECONDS:g} s")
                self._stop.wait(AGAIN_SECONDS)

    def _keep_suppressions(self) -> None:
        self._keep("suppressions", self._read_suppressions)

    def _read_suppressions(self) -> None:
        from kafka import TopicPartition

        from streams.cli.reading import reader

        place = TopicPartition(self._settings.kafka.prefix + topics.ALERT_SUPPRESSIONS, 0)
        with reader(self._settings) as consumer:
            consumer.assign([place])
            consumer.seek_to_beginning(place)
            end = consumer.end_offsets([place])[place]
            while not self._stop.is_set():
                for records in consumer.poll(timeout_ms=500).values():
                    for record in records:
                        if not self._suppressions.hear(record.key, record.value):
                            logs.say(f"{place.topic}@{record.offset} is no suppression; passed over")
                if (consumer.position(place) or 0) >= end:
                    self._known.set()
                    self._trouble.pop("suppressions", None)


def destinations(settings: Settings, around: Around) -> dict[str, Make]:
    """What makes the courier of each destination, by name.

    The name is that of the consumer group, too: of an address that changes nothing is remembered.
    """
    found: dict[str, Make] = {}
    for url in addresses(settings.relay.alertmanagers):
        name = name_of("alertmanager", url)
        found[name] = lambda inbox, name=name, url=url: Alertmanager(name, inbox, around, url, settings.log)  # type: ignore[misc]
    for url in addresses(settings.relay.webhooks):
        name = name_of("webhook", url)
        found[name] = lambda inbox, name=name, url=url: Webhook(name, inbox, around, url)  # type: ignore[misc]
    return found


def hidden(settings: Settings) -> list[str]:
    """What a destination is sent and no answer of it may bring to light, longest first: secrets, and what of them stands by itself there.

    >>> from config.load import load
    >>> hidden(load(environment={"NILOMETER_RELAY__WEBHOOKS": "https://me:secret@a.example/T0/token,https://b.example"}))[2:]
    ['https://b.example', 'bWU6c2VjcmV0', '/T0/token', 'secret']
    """
    relay = settings.relay
    found = {relay.alertmanager_authorization.partition(" ")[2]}  # behind "Bearer"
    for url in addresses(relay.webhooks):
        whole = urlsplit(url)
        found |= {url, urlunsplit(("", "", whole.path, whole.query, ""))}
    for url in (*addresses(relay.webhooks), *addresses(relay.alertmanagers)):
        found |= {urlsplit(url).password or "", without_login(url)[1].get("Authorization", "").partition(" ")[2]}
    parts = {part for part in found if len(part) >= SHORTEST}
    return sorted({*secrets(settings), *parts}, key=len, reverse=True)


def addresses(text: str) -> list[str]:
    """What stands between the commas."""
    return [url for url in map(str.strip, text.split(",")) if url]


def name_of(kind: str, url: str) -> str:
    """A destination's name, without what an address may have of secrets.

    >>> name_of("webhook", "https://hooks.example.com/T0/secret")
    'webhook-hooks.example.com-5dfacd1e'
    """
    host = "".join(c if c.isascii() and (c.isalnum() or c in ".-") else "-" for c in urlsplit(url).hostname or "")
    return f"{kind}-{host}-{hashlib.blake2b(url.encode(), digest_size=4).hexdigest()}"
