"""`nilometer demo`: one process, an embedded broker, real and simulated data through all four agents, alerts as they come."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.options import ConfigFile, settings_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from config.settings import Settings
    from streams.app import Pipeline
    from streams.transport.broker import Broker

DEMO_CONFIG = Path(__file__).resolve().parents[2] / "config" / "demo.toml"
_SHOWN = 3  # alerts of each stream on the screen


def demo(
    config: ConfigFile = DEMO_CONFIG,
    seconds: Annotated[float, typer.Option(min=1, help="How long to stream, once the kernels are compiled.")] = 25.0,
    headless: Annotated[bool, typer.Option("--headless", help="Print an alert a line as JSON, and last a summary.")] = False,
) -> None:
    """Watch alerts come from real and simulated streams, with no Kafka to install.

    A taxi sensor (NAB), four simulated pumps, simulated cards, employees' postings and a model's errors flow through an
    embedded broker and the very agents that a worker runs. Ctrl-C ends it.
    """
    from rich.console import Console

    from streams.kernels import compiling

    settings = settings_of(config)
    console = Console(stderr=headless, highlight=False)
    digests: dict[str, str] = {}
    words = "compiling the kernels (a quarter of a minute the first time, then they are on disk)"
    with console.status(words) as status, compiling(settings.streams.enabled, digests) as finished:
        from streams.app import Pipeline  # noqa: F401  # the heavy imports happen here, meanwhile
        from streams.telemetry.metrics import Metrics

        for name in finished:
            status.update(f"compiled the kernels of {name}")
    metrics = Metrics()
    metrics.tested_kernels(digests)
    try:
        asyncio.run(_run(settings, metrics, seconds, console, headless))
    except KeyboardInterrupt:
        sys.exit(130)


async def _run(settings: Settings, metrics: Any, seconds: float, console: Console, headless: bool) -> None:
    from streams.app import assemble
    from streams.demo import produce
    from streams.engine import running
    from streams.telemetry.health import HealthServer, PortError
    from streams.topic_settings import wanted_topics
    from streams.transport.broker import Broker
    from streams.transport.tail import MemoryLogs

    broker = Broker.named("demo")
    bounded = {"retention.bytes": str(64 << 20)}  # a demo may run for days
    for topic, wanted in wanted_topics(settings, settings.streams.enabled).items():
        broker.create_topic(topic, wanted.partitions, {**wanted.configs, **bounded})
    pipeline = assemble(settings, broker_url="memory://demo", logs=MemoryLogs(broker), metrics=metrics)
    try:
        server = HealthServer(settings.metrics.host, settings.metrics.port, metrics.registry, pipeline.healthy, pipeline.ready)
    except PortError:  # a second demo, or a worker: any other port will do here
        server = HealthServer(settings.metrics.host, 0, metrics.registry, pipeline.healthy, pipeline.ready)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    started = time.monotonic()
    screen = Screen(pipeline, broker, settings, seconds, f"http://{server.host}:{server.port}/metrics", started)
    try:
        async with running(pipeline.app):
            started = screen.started = time.monotonic()
            feeding = asyncio.ensure_future(produce(broker, settings))
            if headless:
                await _headless(screen, stop, feeding)
            else:
                await _live(screen, console, stop, feeding)
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
    finally:
        server.close()
        pipeline.executor.shutdown(wait=False, cancel_futures=True)
    screen.gather()
    summary = screen.summary(time.monotonic() - started)
    if headless:
        import json

        for event in screen.news():
            print(json.dumps(event))
        print(json.dumps(summary), flush=True)
    else:
        screen.farewell(console, summary)


async def _headless(screen: Screen, stop: asyncio.Event, feeding: asyncio.Future[None]) -> None:
    import json

    while not screen.over(stop, feeding):
        screen.gather()
        for event in screen.news():
            print(json.dumps(event), flush=True)
        await asyncio.sleep(0.1)


async def _live(screen: Screen, console: Console, stop: asyncio.Event, feeding: asyncio.Future[None]) -> None:
    from rich.live import Live

    if not console.is_terminal:
        while not screen.over(stop, feeding):
            screen.gather()
            for event in screen.news():
                console.print(screen.line(event))
            await asyncio.sleep(0.2)
        return
    with Live(console=console, refresh_per_second=5, screen=False, transient=True) as live:
        while not screen.over(stop, feeding):
            screen.gather()
            screen.news()
            live.update(screen.draw())
            await asyncio.sleep(0.2)


class Screen:
    """What there is to see: a row a stream, and the last alerts in words."""

    def __init__(self, pipeline: Pipeline, broker: Broker, settings: Settings, seconds: float, address: str, started: float) -> None:
        self.started = started
        self._pipeline, self._broker, self._settings = pipeline, broker, settings
        self._seconds, self._address = seconds, address
        self._offsets: dict[tuple[str, int], int] = {}
        self._new: deque[dict[str, Any]] = deque()
        self._shown: dict[str, deque[dict[str, Any]]] = {name: deque(maxlen=_SHOWN) for name in settings.streams.enabled}
        self._before = (started, {name: 0 for name in settings.streams.enabled})
        self._rates = dict.fromkeys(settings.streams.enabled, 0.0)

    def over(self, stop: asyncio.Event, feeding: asyncio.Future[None]) -> bool:
        """Whether it is time to leave; raises what ended the data or the app, if something did."""
        if feeding.done() and not feeding.cancelled() and feeding.exception() is not None:
            raise feeding.exception()  # type: ignore[misc]
        if self._pipeline.app.crashed:
            raise self._pipeline.app.crash_reason or RuntimeError("the app crashed")
        return stop.is_set() or time.monotonic() - self.started >= self._seconds

    def gather(self) -> None:
        """Read what has come to the alert topics."""
        import msgspec

        from streams import topics

        for stream in self._settings.streams.enabled:
            topic = self._settings.kafka.prefix + topics.alerts(stream)
            for number in range(self._broker.partitions(topic)):
                for record in self._broker.read(topic, number, self._offsets.get((topic, number), 0)):
                    self._offsets[topic, number] = record.offset + 1
                    self._new.append(msgspec.json.decode(record.value or b"null"))

    def news(self) -> Iterator[dict[str, Any]]:
        """The alerts that have come since the last call."""
        fresh = list(self._new)
        self._new.clear()
        for event in fresh:
            if event["data"]["phase"] == "opened":
                self._shown[event["data"]["stream"]].append(event)
        return iter(fresh)

    def totals(self, name: str) -> dict[str, int]:
        """What has passed through a stream, from the states of its partitions."""
        parts = self._pipeline.watchers[name].partitions.values()
        return {
            "events": sum(part.counts.events for part in parts),
            "not_ready": sum(part.counts.not_ready for part in parts),
            "alerts": sum(part.counts.episodes for part in parts),
            "keys": sum(len(part.state.keys) for part in parts),
        }

    def summary(self, seconds: float) -> dict[str, Any]:
        """The last line of the headless form; alerts are episodes opened."""
        totals = {name: self.totals(name) for name in self._settings.streams.enabled}
        return {
            "events": {name: total["events"] for name, total in totals.items()},
            "alerts": {name: total["alerts"] for name, total in totals.items()},
            "seconds": round(seconds, 1),
        }

    def draw(self) -> RenderableType:
        """The whole screen."""
        from rich.console import Group
        from rich.text import Text

        passed = time.monotonic() - self.started
        head = Text.assemble(("Nilometer", "bold"), f"  {passed:.0f} of {self._seconds:.0f} s   metrics {self._address}   Ctrl-C ends")
        return Group(head, Text(), self._table(), Text(), *self._latest())

    def _latest(self) -> list[RenderableType]:
        """The last alerts of each stream, newest first: a busy stream does not push the others off the screen."""
        return [self.line(event) for shown in self._shown.values() for event in reversed(shown)]

    def _table(self) -> RenderableType:
        from rich.table import Table

        now = time.monotonic()
        then, events = self._before
        if now - then >= 1.0:
            new = {name: self.totals(name)["events"] for name in events}
            self._rates = {name: (new[name] - events[name]) / (now - then) for name in events}
            self._before = (now, new)
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("stream")
        for title in ("events", "a second", "keys", "warming up", "dead letters", "alerts"):
            table.add_column(title, justify="right")
        table.add_column("budget of false alarms")
        for name in self._settings.streams.enabled:
            t = self.totals(name)
            watcher = self._pipeline.watchers[name]
            letters = int(self._pipeline.metrics.dead_letters.labels(name)._value.get())
            table.add_row(
                name, f"{t['events']:,}", f"{self._rates[name]:,.0f}", f"{t['keys']:,}", f"{t['not_ready']:,}",
                f"{letters:,}", f"[bold]{t['alerts']:,}[/bold]" if t["alerts"] else "0", watcher.definition.promise.words,
            )  # fmt: skip
        return table

    def line(self, event: dict[str, Any]) -> RenderableType:
        """One alert in one or two lines: how bad, who, and why in words."""
        from rich.text import Text

        data = event["data"]
        colour = {"critical": "bold red", "warning": "yellow"}[data["severity"]]
        words = " ".join(reason if reason.endswith(".") else f"{reason}." for reason in data["reasons"][:2])
        return Text.assemble(
            (f"{data['severity']:<9}", colour),
            (f"{data['stream']} {data['key']}", "bold"),
            f"  {data['at'][:19].replace('T', ' ')}  ",
            words,
        )

    def farewell(self, console: Console, summary: dict[str, Any]) -> None:
        """What stays on the terminal."""
        console.print(self._table())
        console.print()
        for line in self._latest():
            console.print(line)
        console.print()
        console.print(
            f'{sum(summary["events"].values()):,} events in {summary["seconds"]} s. Longer: make demo ARGS="--seconds 300". '
            "On a file of your own: nilometer backtest --help."
        )
