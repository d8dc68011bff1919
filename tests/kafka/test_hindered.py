"""A worker that is held up while it restores, or when it must give back what it has queued: nobody can tell from what is said."""

from __future__ import annotations

import re
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from streams import topics
from tests.kafka.commands import PARTITIONS, done, python
from tests.kafka.hindered import STEPS
from tests.kafka.soak import LOOK, soaking

pytestmark = pytest.mark.slow


@contextmanager
def watched(kafka, folder):
    """A soak in which no partition's offset may ever go back, and what was swept away is soon gone."""
    with soaking(kafka, folder, cards=60, days=60, postings=6_000) as soak:
        eager = {"segment.ms": "100"}
        names = [soak.prefix + topics.checkpoints(name) for name in soak.files]
        soak.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=eager) for name in names])
        look, furthest = soak.commits, {}

        def commits():
            found = look()
            for place, (offset, _) in found.items():
                assert offset >= furthest.get(place, 0), f"{place} went back from {furthest[place]} to {offset}"
                furthest[place] = offset
            return found

        soak.commits = commits
        yield soak


def hindered(soak, how):
    worker = python("-m", "tests.kafka.hindered", how, **soak.environment)
    soak.workers.append(worker)
    return worker


@contextmanager
def trickling(soak):
    """A little more is sent all the time, whatever is sent at once besides."""
    halt = threading.Event()

    def trickle():
        while not halt.wait(0.2):
            soak.flood(max(soak._goal, min(0.95, soak.sent / len(soak.records) + 0.0004)))

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        halt.set()
        thread.join()


def stopped(worker):
    return Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def leave(soak, worker):
    """In order; what it has said."""
    worker.terminate()
    said = done(worker)
    soak.output.append(said)
    soak.workers.remove(worker)
    return said


def finish(soak, folder):
    soak.flood()
    while soak.sent < len(soak.records):
        time.sleep(LOOK)
    soak.drain()
    soak.stop()
    report = soak.judge(folder)
    print(report)
    assert report.faults == 0, report
    assert report.cuts > 0
    assert report.alerts > 0


def test_a_restorer_paused_between_its_reads_is_too_late_whatever_it_has_read(kafka, tmp_path):
    with watched(kafka, tmp_path) as soak:
        soak.start()
        with soak.fed(0.85, 100.0):
            soak.wait_commits(2)
            for step in STEPS:
                late = hindered(soak, step)
                end = time.monotonic() + 180
                while not stopped(late):
                    assert late.poll() is None, late.communicate()[0]
                    assert time.monotonic() < end, f"it did not come to {step}"
                    time.sleep(0.01)
                begun = time.monotonic()
                soak.wait_commits(3)  # the other has all partitions again
                away = time.monotonic() - begun
                assert len(soak.members()) == 1
                late.send_signal(signal.SIGCONT)
                soak.wait_members(2)
                print(f"paused behind {step}: all partitions with the other after {away:.1f} s, both fold on", flush=True)
                leave(soak, late)
                soak.wait_members(1)
            finish(soak, tmp_path)


@pytest.mark.parametrize("how", ["waits", "works"])
def test_full_queues_at_a_revocation_lose_and_double_nothing(kafka, tmp_path, how):
    with watched(kafka, tmp_path) as soak:
        slow = hindered(soak, how)
        with soak.fed(0.0, 1.0), trickling(soak):
            soak.wait_commits(2)
            for sign in (signal.SIGTERM, signal.SIGKILL, None):
                second = soak.start()
                soak.flood(soak.sent / len(soak.records) + 0.15)  # more than is folded until the other joins
                soak.wait_members(2)
                if sign is not None:
                    leave(soak, second) if sign == signal.SIGTERM else soak.kill(second)
                    soak.wait_members(1)
            said = leave(soak, slow)
            soak.wait_members(1)
            lying = [[int(many) for many in each.split(", ")] for each in re.findall(r"gives back with \[([\d, ]+)\] chunks", said)]
            print(f"{how}: chunks that lay before each partition when it was given back: {lying}", flush=True)
            assert sum(min(each) >= 2 for each in lying if len(each) == 2 * PARTITIONS) >= 2
            finish(soak, tmp_path)
