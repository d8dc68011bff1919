"""The tables of `make papers PAPER=hardness`: lines of Markdown, and which bars were held."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import kstest

from detectors.hardness.cadet import Cadet
from detectors.hardness.conformal import promised
from detectors.hardness.detector import HardnessDetector
from detectors.protocol import Columns, fold
from state.keys import PackedKeys
from tests.papers.hardness import data, images, offline, tabular, telemetry
from tests.papers.hardness.drifting import EPSILON, Judged, Stream, drifting, judged, random_control, rates, static

Table = tuple[list[str], dict[str, bool]]
SEEDS = range(6)
STILL = 1e-9  # a level rate that adapts nothing


def theorem(replicates: int = 400, m: int = 199) -> Table:
    """Theorem 1 on exchangeable events: the mean rate of false alarms over calibration sets."""
    rng = np.random.default_rng(0)
    rate = []
    for _ in range(replicates):
        hardness = rng.lognormal(size=300 + m + 300)
        error = hardness * rng.lognormal(sigma=0.4, size=len(hardness))
        cadet = Cadet().fit(error[:300], hardness[:300]).calibrate(error[300 : 300 + m], hardness[300 : 300 + m])
        rate.append(cadet.decide(error[300 + m :], hardness[300 + m :], epsilon=EPSILON).mean())
    mean, error_ = 100 * float(np.mean(rate)), 100 * float(np.std(rate) / replicates**0.5)
    exact = 100 * promised(m, EPSILON) / (m + 1)
    return (
        [f"{replicates} calibration sets of m = {m}: {mean:.2f} ± {error_:.2f} %; ⌊(m + 1)ε⌋ / (m + 1) = {exact:.2f} %."],
        {"Theorem 1: the mean rate within 3 s.e. of what it says": abs(mean - exact) <= 3 * error_ and mean <= 100 * EPSILON + 3 * error_},
    )


def _row(name: str, said: Judged, stream: Stream) -> tuple[str, dict[str, object]]:
    found = rates(said, ~stream.anomaly)
    power = f"{100 * said.alert[stream.anomaly[said.place]].mean():.0f}" if stream.anomaly.any() else ""
    low, high = found["blocks"]
    worst = found["worst"]
    quarters = " / ".join(f"{rate:.1f}" for rate in found["quartiles"])
    line = (
        f"| {name} | {found['overall']:.2f} | {100 * found['within']:.0f} % ({low:.1f}–{high:.1f}) | {quarters} "
        f"| {worst[0]:.1f}–{worst[1]:.1f} | {power} |"
    )
    return line, found | {"power": said.alert[stream.anomaly[said.place]].mean() if stream.anomaly.any() else 1.0}


HEADER = [
    "| | false alarms % | 1,000-blocks within 3.5–6.5 % (least–most) | by quartile of hardness | quartile × 5,000-block | found % |",
    "|---|---|---|---|---|---|",
]


def _good(found: dict[str, object]) -> bool:
    return (
        abs(found["overall"] - 5.0) <= 0.2
        and found["within"] >= 0.945
        and all(abs(rate - 5.0) <= 0.6 for rate in found["quartiles"])
        and 3.5 <= found["worst"][0]
        and found["worst"][1] <= 6.8
    )


def drift() -> Table:
    """No anomalies: a promise kept whatever drifts."""
    lines, held = list(HEADER), []
    for seed in SEEDS:
        stream = drifting(seed)
        line, found = _row(f"tracking, seed {seed}", judged(stream), stream)
        lines.append(line)
        held.append(found)
    stream = drifting(0)
    line, frozen = _row("CADET as printed, frozen", static(stream), stream)
    lines.append(line)
    bars = {
        "drift: overall 5 ± .2 %, quartiles 5 ± .6, quartile × 5,000-block in 3.5–6.8": all(_good(found) for found in held),
        "drift: 95 % of the 1,000-blocks within 3.5–6.5 %, over all seeds": float(np.mean([found["within"] for found in held])) >= 0.95,
        "drift: frozen CADET is above 15 %": frozen["overall"] > 15.0,
    }
    return lines, bars


def uniform() -> Table:
    """p-values of normal events with the level left alone, and a control that draws them."""
    lines = ["| | KS | KS by quartile, worst | P(p ≤ .01) |", "|---|---|---|---|"]
    held = []
    for seed in list(SEEDS)[:3]:
        stream = drifting(seed)
        said = judged(stream, level_rate=STILL)
        whole = kstest(said.p_value, "uniform").statistic
        worst = max(kstest(said.p_value[said.quartile == q], "uniform").statistic for q in range(4))
        low = float((said.p_value <= 0.01).mean())
        lines.append(f"| seed {seed} | {whole:.4f} | {worst:.4f} | {low:.4f} |")
        held.append(whole <= 0.01 and worst <= 0.02 and 0.008 <= low <= 0.012)
    return lines, {"p-values of normals: KS ≤ .01, ≤ .02 in each quartile, P(p ≤ .01) in .008–.012": all(held)}


def anomalies() -> Table:
    """With anomalies: what is found, and what the budget of alerts leaves for false ones; beside chance at the same rate."""
    lines, steady, bursts = list(HEADER), [], []
    for seed in list(SEEDS)[:3]:
        stream = drifting(seed, share=0.01)
        line, found = _row(f"1 % anomalies, seed {seed}", judged(stream), stream)
        lines.append(line)
        steady.append(found)
    for seed in list(SEEDS)[:3]:
        stream = drifting(seed, share=0.01, burst=0.15)
        line, found = _row(f"and a burst of 15 % for 1,000 events, seed {seed}", judged(stream), stream)
        lines.append(line)
        bursts.append(found)
    stream = drifting(0, share=0.01)
    line, chance = _row("chance at the same rate", random_control(stream, 0), stream)
    lines.append(line)
    return lines, {
        "1 % anomalies: ≥ 80 % found, 3–5 % false": all(f["power"] >= 0.8 and 3.0 <= f["overall"] <= 5.0 for f in steady),
        "with a burst: ≥ 65 % found, 3–5 % false": all(f["power"] >= 0.65 and 3.0 <= f["overall"] <= 5.0 for f in bursts),
        "chance fails at finding": chance["power"] < 0.65,
    }


def cost() -> Table:
    """Time of an event, by mode, and what a key takes."""
    lines = ["| mode | µs an event, kernel and all |", "|---|---|"]
    stream = drifting(0)
    spent = {}
    for mode in ("conditional", "joint", "off"):
        judged(stream, mode=mode)
        spent[mode] = min(judged(stream, mode=mode).microseconds for _ in range(3))
        lines.append(f"| {mode} | {spent[mode]:.2f} |")
    rng = np.random.default_rng(0)
    hardness = rng.lognormal(size=1000)
    error = hardness * rng.lognormal(sigma=0.4, size=1000)
    seconds = min(_seconds(lambda: Cadet().fit(error, hardness)) for _ in range(3))
    held = bytes_of_a_key()
    lines += ["", f"Four curves from n = 1,000 offline: {1e3 * seconds:.0f} ms. A key with 4 bins of 500: {held:,} bytes."]
    return lines, {
        "cost: an event takes at most 2 µs, conditional or joint": max(spent["conditional"], spent["joint"]) <= 2.0,
        "cost: the offline fit of n = 1,000 takes at most 1 s": seconds <= 1.0,
        "cost: a key takes at most 40 KiB": held <= 40 * 1024,
    }


def bytes_of_a_key() -> int:
    """What one key takes in memory: its row, and its block in the arena, once the ring is full."""
    detector = HardnessDetector(bins=4, width=500)
    state = detector.new_state()
    rng, n = np.random.default_rng(0), 3_000
    columns = Columns(PackedKeys.pack(["source"] * n), np.arange(n), {"error": rng.random(n), "hardness": rng.random(n)})
    for _ in fold(detector, state, columns):
        pass
    return sum(column[:1].nbytes for column in state.slab.freeze(np.array([0])).values()) + int(state.arena.header[0]) * 4


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def on_real_data(report: Callable[[Path], Table]) -> Callable[[], Table]:
    """A table that needs the data beside the project, and says so where they are not."""

    def make() -> Table:
        place = data.folder()
        return report(place) if place else (["Left out: no `calibration` under $NILOMETER_DATA or ../shared/data."], {})

    return make


TABLES: dict[str, tuple[str, Callable[[], Table]]] = {
    "theorem": ("Theorem 1", theorem),
    "drift": ("A stream that drifts, without anomalies", drift),
    "uniform": ("p-values of normal events, with the level left alone", uniform),
    "anomalies": ("The same with anomalies (error · 3)", anomalies),
    "images": ("Images", on_real_data(images.report)),
    "tabular": ("Tables, as streams", on_real_data(tabular.report)),
    "telemetry": ("Telemetry of SMAP and MSL, as streams", on_real_data(telemetry.report)),
    "models": ("Base models", on_real_data(offline.models)),
    "baselines": ("Beside other detectors", on_real_data(offline.baselines)),
    "prior": ("Prior and λ", on_real_data(offline.prior)),
    "overlap": ("X_cal = X_train against a separate set", on_real_data(offline.overlap)),
    "pearson": ("Correlation of hardness and error", on_real_data(offline.pearson)),
    "cost": ("Cost", cost),
}
