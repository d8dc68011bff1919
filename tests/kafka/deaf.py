"""A worker that goes deaf when it gets SIGUSR1, in a way that it does not notice itself: ``python -m tests.kafka.deaf flow``.

flow: nothing is handed on any more, as when the task of Faust's that resumes partitions has ended. fetch: aiokafka's fetching has
ended. Either way it goes on heartbeating and holding its partitions.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import streams.app
from streams.cli.main import main


def deafen(app, how):
    if how == "flow":
        app.consumer.stop_flow()
        app.consumer.resume_flow = lambda: None  # nor after a rebalance
    else:
        thread = app.consumer._thread
        thread.thread_loop.call_soon_threadsafe(thread._consumer._fetcher._fetch_task.cancel)


def assembling(how):
    """`streams.app.assemble`, whose app listens to the signal."""
    assemble = streams.app.assemble

    def assembled(*arguments, **more):
        pipeline = assemble(*arguments, **more)

        async def listen():
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, deafen, pipeline.app, how)

        pipeline.app.task(listen)
        return pipeline

    return assembled


if __name__ == "__main__":
    streams.app.assemble = assembling(sys.argv[1])
    main(["worker"])
