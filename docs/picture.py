"""Make `docs/demo.svg`, the README's picture of the demo's terminal: run the demo for a while and draw its screen.

.venv/bin/python docs/picture.py
"""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

from rich.console import Console

from streams.app import assemble
from streams.cli.demo import DEMO_CONFIG, Screen
from streams.cli.options import settings_of
from streams.demo import produce
from streams.engine import running
from streams.kernels import compile_all
from streams.topic_settings import create_topics
from streams.transport.broker import Broker
from streams.transport.tail import MemoryLogs

SECONDS = 25.0


async def screen(seconds: float) -> Console:
    settings = settings_of(DEMO_CONFIG)
    broker = Broker.named("picture")
    create_topics(broker.create_topic, settings, settings.streams.enabled)
    pipeline = assemble(settings, broker_url="memory://picture", logs=MemoryLogs(broker))
    shown = Screen(pipeline, broker, settings, seconds, "http://127.0.0.1:9464/metrics", time.monotonic())
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=140, file=nowhere, force_terminal=True, highlight=False)
        async with running(pipeline.app):
            shown.started = time.monotonic()
            feeding = asyncio.ensure_future(produce(broker, settings))
            while time.monotonic() - shown.started < seconds - 1:
                shown.gather()
                shown.news()
                shown.draw()
                await asyncio.sleep(0.2)
            console.print(shown.draw())
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
    pipeline.executor.shutdown()
    return console


def main() -> None:
    compile_all(settings_of(DEMO_CONFIG).streams.enabled, lambda name: None)
    svg = asyncio.run(screen(SECONDS)).export_svg(title="make demo")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # no fonts from elsewhere: the reader's own monospace will do
    Path(__file__).with_name("demo.svg").write_text(svg)


if __name__ == "__main__":
    main()
