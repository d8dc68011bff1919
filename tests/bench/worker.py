"""`nilometer worker` on one stream, as the command runs it, with somebody beside it who looks at its metrics.

``python -m tests.bench.worker STREAM '{"address": …, "prefix": …, "messages": …, "cores": […]}'`` folds what the source topic
holds, checkpoints included, and prints one line of JSON; with ``"stay": true`` it then goes on until it is told to stop. Several
``"streams"`` are done when each has folded as many; ``"settings"`` are more of them, as environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from tests.bench.machine import pin
from tests.bench.sampling import Sampler

LOOK = 0.02  # seconds between two looks at the metrics


def main() -> None:
    stream, given = sys.argv[1], json.loads(sys.argv[2])
    streams = given.get("streams", [stream])
    pin(tuple(given["cores"]))
    os.environ |= {
        "NILOMETER_KAFKA__BOOTSTRAP_SERVERS": given["address"],
        "NILOMETER_KAFKA__PREFIX": given["prefix"],
        "NILOMETER_STREAMS__ENABLED": json.dumps(streams),
        "NILOMETER_METRICS__PORT": "0",
        **given.get("settings", {}),
    }
    from config.load import load
    from streams.cli.worker import _run
    from streams.kernels import compile_all
    from streams.telemetry.metrics import Metrics

    settings = load()
    compile_all(streams, lambda name: None)
    metrics, sampler = Metrics(), Sampler()

    def folded() -> int:
        """Records so far, of the stream that has least; one metric, read without the others."""
        counted = dict.fromkeys(streams, 0)
        for sample in next(iter(metrics.records.collect())).samples:
            if sample.name.endswith("_total"):
                counted[sample.labels["stream"]] = int(sample.value)
        return min(counted.values())

    async def watch() -> None:
        while not folded():
            await asyncio.sleep(LOOK)
        first, wall, cpu = folded(), time.perf_counter(), time.process_time()
        sampler.start()
        while folded() < given["messages"]:
            await asyncio.sleep(LOOK)
        counted, seconds, used = folded() - first, time.perf_counter() - wall, time.process_time() - cpu
        alerts = sum(s.value for s in next(iter(metrics.alerts.collect())).samples if s.name.endswith("_total"))
        answer = {"rate": counted / seconds, "per_cpu_second": counted / used, "messages": counted, "alerts": int(alerts)}
        print(json.dumps({**answer, "profile": sampler.shares()}), flush=True)
        sampler.stop()
        if not given.get("stay"):
            os._exit(0)  # what the worker does to leave is not measured
        await asyncio.Event().wait()

    async def go() -> None:
        watching = asyncio.ensure_future(watch())
        await _run(settings, metrics)
        watching.cancel()

    asyncio.run(go())


if __name__ == "__main__":
    main()
