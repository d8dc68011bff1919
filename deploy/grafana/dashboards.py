"""The dashboards. ``python -m deploy.grafana.dashboards`` writes them as JSON beside this file, for Grafana to read.

Each panel answers one question that a person on call has; its description says which, and what to do next.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.panels import GREEN, RED, YELLOW, Json, bars, dashboard, heatmap, line_at, query, series, stat, variable

FOLDER = Path(__file__).parent / "dashboards"
RATE = "$__rate_interval"
SHARES = {"min": 0}


def quantile(share: float, metric: str, by: str = "", matching: str = "", over: str = RATE) -> str:
    """A quantile of a histogram, by labels; of what comes seldom, over an hour."""
    return f"histogram_quantile({share}, sum by (le{', ' + by if by else ''}) (rate({metric}_bucket{matching}[{over}])))"


def realised(matching: str = "", by: str = "stream", of: str = "") -> str:
    """The share of tested events that alerted within an hour, counted in the states."""
    beyond, tested = (f"sum by ({by}) (delta(nilometer_{of}{name}_events{matching}[1h]))" for name in ("alerted", "tested"))
    return f"{beyond} / ({tested} > 0)"


def cold(matching: str = "") -> str:
    """The share of events whose keys are still warming up."""
    not_ready, events = (f"sum by (stream) (rate(nilometer_{name}_total{matching}[{RATE}]))" for name in ("not_ready_events", "events"))
    return f"{not_ready} / ({events} > 0)"


def opened(matching: str, by: str) -> Json:
    """Episodes that open, an hour."""
    return query(f'3600 * sum by ({by}) (rate(nilometer_alerts_total{{phase="opened"{matching}}}[{RATE}]))', f"{{{{{by}}}}}")


def promise(matching: str = "") -> Json:
    return query(f"max by (stream) (nilometer_promised_alert_ratio{matching})", "promised {{stream}}")


def ours(metric: str) -> str:
    """Of what every process tells, our workers' part."""
    return f"{metric} and on (job, instance) nilometer_build_info"


def overview() -> Json:
    return dashboard(
        "overview", "Overview", "Does everything fold, is it in time, does it alert as promised, would a crash cost much?",
        [
            stat("Workers", "Workers that answer Prometheus. Fewer than you started: see which is down.", "count(nilometer_build_info)",
                 unit="short", steps=[(RED, None), (GREEN, 1)]),
            stat("Partitions folded", "Partitions that are restored and folded. Should be the partitions of all streams together.",
                 "sum(nilometer_partition_ready)", unit="short", steps=[(RED, None), (GREEN, 1)]),
            stat("Parked", "Partitions that wait for a person: /readyz of their worker says why, the runbook what to do.",
                 "sum(nilometer_partition_parked) or vector(0)", unit="short", steps=[(GREEN, None), (RED, 1)]),
            stat("Behind", "How old the last folded record is where more is waiting, in the partition that is worst.",
                 "max(nilometer_lag_seconds)", unit="s", steps=[(GREEN, None), (YELLOW, 10), (RED, 60)], decimals=1),
            stat("Oldest checkpoint", "How much would be folded again, at most, if a worker went away now.",
                 "max(nilometer_checkpoint_age_seconds)", unit="s", steps=[(GREEN, None), (YELLOW, 60), (RED, 600)], decimals=0),
            stat("Firing", "Alerts about the product itself that fire: each has a paragraph in the runbook.",
                 'count(ALERTS{alertname=~"Nilometer.*", alertstate="firing", severity!="info"}) or vector(0)', unit="short",
                 steps=[(GREEN, None), (RED, 1)]),
            series("Events", "Is as much folded as comes? A frame of readings is many events.",
                   query(f"sum by (stream) (rate(nilometer_events_total[{RATE}]))", "{{stream}}"), unit="eps", defaults=SHARES),
            series("Not folded yet", "Records in the log behind the folds. Growing: see *NilometerLagGrowing* in the runbook.",
                   query("sum by (stream) (nilometer_fold_lag_records)", "{{stream}}"), unit="short", defaults=SHARES),
            series("From record to verdict", "How late are verdicts? From a record's Kafka timestamp, one in a hundred is later.",
                   query(quantile(0.99, "nilometer_latency_seconds", "stream"), "p99 {{stream}}"),
                   query(quantile(0.5, "nilometer_latency_seconds"), "p50, all"), unit="s", defaults=SHARES),
            series("Episodes opened, an hour", "How many alerts reach people? An episode is one story, however many reports it has.",
                   opened("", "stream"), unit="short", defaults=SHARES),
            series("Alerting share of events, within an hour", "Is the promise kept? Only cards and errors promise a share of events; "
                   "the other streams promise days and years. Cards follow cost once a model decides.",
                   query(realised(), "{{stream}}"), promise(), unit="percentunit", defaults=SHARES),
            series("Still warming up", "Share of events whose keys have seen too little to be judged: what nobody watches yet.",
                   query(cold(), "{{stream}}"), unit="percentunit", defaults={"min": 0, "max": 1}),
            series("Dead letters", "What cannot be read, a second. `nilometer dead-letters list` says why.",
                   query(f"sum by (stream) (rate(nilometer_dead_letters_total[{RATE}]))", "{{stream}}"), unit="eps", defaults=SHARES),
            series("Checkpoint age", "The oldest checkpoint of each stream, and how often one should be made.",
                   query("max by (stream) (nilometer_checkpoint_age_seconds)", "{{stream}}"),
                   query("max(nilometer_checkpoint_interval_seconds)", "interval"), unit="s", defaults=SHARES),
            series("Memory of a worker", "Is a worker about to be killed for its memory, and is that the state?",
                   query(ours("process_resident_memory_bytes"), "process {{instance}}"),
                   query("sum by (instance) (nilometer_state_bytes)", "state {{instance}}"), unit="bytes", defaults=SHARES),
            series("Cores of a worker", "A worker folds on one core: near 1, more of them are needed.",
                   query(ours(f"rate(process_cpu_seconds_total[{RATE}])"), "{{instance}}"), unit="short", **line_at(1.0)),
            series("Keys held", "Sensors, cards, employees and sources in the states. A plateau may be `key_limit`: the oldest leave.",
                   query("sum by (stream) (nilometer_keys)", "{{stream}}"), unit="short", defaults=SHARES),
            series("Late and repeated, within an hour", "Events that were not judged since they came late or twice: a sender that repeats, "
                   "a clock that is wrong.",
                   query("sum by (stream, reason) (delta(nilometer_unjudged_events[1h]))", "{{stream}} {{reason}}"), unit="short"),
        ],
    )  # fmt: skip


def sensors() -> Json:
    of = '{stream="sensors"}'
    return dashboard(
        "sensors", "Sensors", "What alerts, what is not judged yet, and the sensors of [metrics] watch.",
        [
            series("Episodes opened, an hour", "By channel: shape and amplitude against the sensor's model, a change of regime, silence.",
                   opened(', stream="sensors"', "test"), unit="short", width=6, defaults=SHARES),
            series("Open episodes", "Alerts that are still going on.", query(f"sum(nilometer_open_episodes{of})", "open"), unit="short",
                   width=6, defaults=SHARES),
            series("Still warming up", "Share of readings of sensors without a model or with too little to rank among.",
                   query(cold(of), "readings"), unit="percentunit", width=6, defaults={"min": 0, "max": 1}),
            series("Time to build a model", "A partition waits for a model that is late; 19 of 20 of the last hour took less.",
                   query(quantile(0.95, "nilometer_build_seconds", matching=of, over="1h"), "p95"), unit="s", width=6, defaults=SHARES),
            series("$sensor", "The reading, and between which values its Normal Model expects it.",
                   query('nilometer_watched_value{key=~"$sensor"}', "value"),
                   query('nilometer_watched_expected_value{key=~"$sensor"}', "expected, {{bound}}"), unit="short", repeat="sensor"),
            series("Score, as a share of its threshold", "Which watched sensor is near an alert? Above 1 it alerts.",
                   query('nilometer_watched_score{stream="sensors", key=~"$sensor"} / nilometer_watched_threshold', "{{key}}"),
                   unit="percentunit", **line_at(1.0)),
            series("p-value", "How often is a normal reading of this sensor as strange as the latest?",
                   query('nilometer_watched_p_value{stream="sensors", key=~"$sensor"}', "{{key}}"), unit="short", log=True),
            series("Open episodes of watched sensors", "Since when does it go on?",
                   query('nilometer_watched_open_episodes{stream="sensors", key=~"$sensor"}', "{{key}}"), unit="short", defaults=SHARES),
        ],
        [variable("sensor", "Sensor", "nilometer_watched_value, key", many=True)],
    )  # fmt: skip


def cards() -> Json:
    of = '{stream="cards"}'
    decides = [{"type": "value", "options": {"0": {"text": "ranks"}, "1": {"text": "model"}}}]
    age = (
        "max(nilometer_event_timestamp_seconds{stream=\"cards\"}) - min(nilometer_model_through_timestamp_seconds > 0)"
    )  # fmt: skip
    return dashboard(
        "cards", "Cards", "How much alerts and on what, whether labels come, and which model is the better one.",
        [
            stat("Who decides", "Ranks of unusualness until a model has learned 200 frauds, then expected loss against a review's cost.",
                 "min(nilometer_model_decides)", unit="short", steps=[(GREEN, None)], mappings=decides),
            stat("Age of the model", "How far behind the stream's event time it has learned: the label delay, and an hour or two.", age,
                 unit="s", steps=[(GREEN, None)], decimals=0),
            stat("Frauds learned", "Matured transactions that are known as frauds.", 'sum(nilometer_learned_events{label="fraud"})',
                 unit="short", steps=[(GREEN, None)]),
            stat("Genuine learned", "Matured transactions that nobody calls a fraud.", 'sum(nilometer_learned_events{label="genuine"})',
                 unit="short", steps=[(GREEN, None)]),
            stat("Labels lost", "Outcomes that changed after the transaction's features were gone: longer than `cards.relabel_hours`.",
                 "sum(nilometer_lost_labels)", unit="short", steps=[(GREEN, None), (YELLOW, 1)]),
            stat("Cards", "Cards in the states.", f"sum(nilometer_keys{of})", unit="short", steps=[(GREEN, None)]),
            series("Episodes opened, an hour", "How much is there to review?", opened(', stream="cards"', "severity"), unit="short",
                   defaults=SHARES),
            series("Alerting share of transactions, within an hour", "Against ε, which holds until a model decides.",
                   query(realised(of), "{{stream}}"), promise(of), unit="percentunit", defaults=SHARES),
            heatmap("Score: unusualness", "Sums of −ln p of amount, mode and gap. Does its shape change: a release, a holiday, an attack?",
                    f"sum by (le) (increase(nilometer_card_unusualness_bucket[{RATE}]))", unit="short"),
            series("Amounts", "What is paid, and what alerts, within an hour: median, and one in twenty above; major units.",
                   query(quantile(0.5, "nilometer_card_amount", "alert", over="1h"), "median, alert: {{alert}}"),
                   query(quantile(0.95, "nilometer_card_amount", "alert", over="1h"), "p95, alert: {{alert}}"), unit="short", log=True),
            series("Labels, an hour", "Do labels come? Without them nothing new is learned.",
                   query(f"3600 * sum by (label) (rate(nilometer_labels_total[{RATE}]))", "{{label}}"), unit="short", defaults=SHARES),
            series("Label delay", "How late are they, by event time? Those beyond `cards.label_delay_hours` are first learned as genuine.",
                   query(quantile(0.5, "nilometer_label_delay_seconds", over="1h"), "median"),
                   query(quantile(0.9, "nilometer_label_delay_seconds", over="1h"), "p90"), unit="s", defaults=SHARES),
            series("Average precision", "Champion against challengers, on the last matured transactions; each was predicted before it was "
                   "learned.",
                   query("max by (model) (nilometer_model_average_precision)", "{{model}}"), unit="percentunit", defaults=SHARES),
            series("Area under the ROC curve", "The same, of all thresholds.",
                   query("max by (model) (nilometer_model_roc_auc)", "{{model}}"), unit="percentunit"),
            series("Log loss", "Are the probabilities right? Lower is better; cost decides by them.",
                   query("max by (model) (nilometer_model_log_loss)", "{{model}}"), unit="short", defaults=SHARES),
        ],
    )  # fmt: skip


def employees() -> Json:
    digit = 'sum by (digit) (nilometer_watched_digit_ratio{{key="$employee", kind="{}"}})'
    return dashboard(
        "employees", "Employees", "What alerts, and the employees of [metrics] watch: evidence over time, digits against what is expected.",
        [
            series("Episodes opened, an hour", "By test: digits, late onset, the band below an approval limit, repeats, a period's end.",
                   opened(', stream="employees"', "test"), unit="short", defaults=SHARES),
            series("Employees", "Known, and with an open episode: it stays open until a verdict or the accounting year's end.",
                   query('sum(nilometer_keys{stream="employees"})', "known"),
                   query('sum(nilometer_open_episodes{stream="employees"})', "open episodes"), unit="short", defaults=SHARES),
            series("Postings", "Do postings come, and are they judged?",
                   query(f'sum(rate(nilometer_events_total{{stream="employees"}}[{RATE}]))', "folded"),
                   query(f'sum(rate(nilometer_p_value_count{{stream="employees"}}[{RATE}]))', "judged"), unit="eps", defaults=SHARES),
            series("How near an alert", "The test that has most, as a share of what its level asks for. From 1 on it alerts.",
                   query('nilometer_watched_score{stream="employees"}', "{{key}}"), unit="percentunit", width=12, log=True, **line_at(1.0)),
            series("Evidence on $employee", "By test: the odds against an honest employee so far this year. It falls again, too.",
                   query('nilometer_watched_evidence{key="$employee"}', "{{test}}"), unit="short", width=12, log=True),
            bars("Digits of $employee", "Share of this year's postings that each digit leads, and what the reference and its limits leave.",
                 "digit", (digit.format("observed"), "observed"), (digit.format("expected"), "expected"), unit="percentunit", width=12),
            series("Which digit is too frequent", "Observed less expected share, over time.",
                   query('sum by (digit) (nilometer_watched_digit_ratio{key="$employee", kind="observed"}) '
                         '- sum by (digit) (nilometer_watched_digit_ratio{key="$employee", kind="expected"})', "{{digit}}"),
                   unit="percentunit", width=12),
        ],
        [variable("employee", "Employee", "nilometer_watched_evidence, key", many=False)],
    )  # fmt: skip


def calibration() -> Json:
    errors = '{stream="errors"}'
    shares = (
        'sum by (le) (increase(nilometer_p_value_bucket{stream="$stream", le!="+Inf"}[1h])) '
        '/ on () group_left () sum(increase(nilometer_p_value_count{stream="$stream"}[1h]))'
    )
    return dashboard(
        "calibration", "Calibration", "Does what is promised hold: by stream, by bin of hardness, and for all p-values?",
        [
            series("Errors: alerting share by hardness, within an hour", "Every bin should alert at the promised rate, the easiest (0) as "
                   "the hardest. One that stands out: the curves do not fit there.",
                   query(realised(errors, "bin", "bin_"), "bin {{bin}}"), promise(errors), unit="percentunit", width=12, defaults=SHARES),
            series("Errors: alerting share by hardness, since the beginning", "The same of all that the states have counted.",
                   query("sum by (bin) (nilometer_bin_alerted_events) / (sum by (bin) (nilometer_bin_tested_events) > 0)", "bin {{bin}}"),
                   promise(errors), unit="percentunit", width=12, defaults=SHARES),
            series("Realised over promised", "1: as promised. Above 2 or below ¼ for half an hour an alert fires (not for cards that a "
                   "model decides on).",
                   query(f"({realised()}) / on (stream) max by (stream) (nilometer_promised_alert_ratio)", "{{stream}}"), unit="short",
                   width=12, **line_at(2.0)),
            series("$stream: share of p-values up to …", "Of normal events, a share u should have p ≤ u. Small ones that are too many: "
                   "anomalies, or a world that has moved.", query(shares, "p ≤ {{le}}"), unit="percentunit", width=12, log=True),
            series("Judged since the beginning", "How many events the shares are of: a promise of 1 % needs thousands.",
                   query("sum by (stream) (nilometer_tested_events)", "{{stream}}"), unit="short", log=True),
            series("Still warming up", "Share of events whose keys have seen too little to be judged.", query(cold(), "{{stream}}"),
                   unit="percentunit", defaults={"min": 0, "max": 1}),
            series("Kinds of kernels", "How many different answers workers give to known events: 1, but for the minutes of an upgrade.",
                   query("count by (stream) (count by (stream, digest) (nilometer_kernels_info))", "{{stream}}"), unit="short",
                   defaults=SHARES),
        ],
        [variable("stream", "Stream", "nilometer_events_total, stream", many=False)],
    )  # fmt: skip


def relay() -> Json:
    def counted(name: str, words: str = "") -> Json:
        return query(f"3600 * sum by (destination) (rate(nilometer_relay_{name}_total[{RATE}]))", f"{words}{{{{destination}}}}")

    def each(name: str, over: str) -> Json:
        return query(f"{over} by (destination) (nilometer_relay_{name})", "{{destination}}")

    last = "time() - min(max by (destination) (nilometer_relay_last_success_timestamp_seconds) > 0)"
    return dashboard(
        "relay", "Relay", "Do alerts reach people: what each destination takes, refuses and has not got yet?",
        [
            stat("Relays", "Relays that answer Prometheus. One is enough; none for five minutes is an alert of its own.",
                 "count(count by (instance) (nilometer_relay_failing))", unit="short", steps=[(RED, None), (GREEN, 1)]),
            stat("Destinations failing", "Destinations that do not take what they are sent. The relay's log says what they answered.",
                 "sum(max by (destination) (nilometer_relay_failing))", unit="short", steps=[(GREEN, None), (RED, 1)]),
            stat("Waiting", "Alerts in the topics that some destination has not got yet.", "sum(nilometer_relay_lag_records)", unit="short",
                 steps=[(GREEN, None), (YELLOW, 10), (RED, 100)], decimals=0),
            stat("Given up", "Alerts that came to lie among the dead letters within an hour: when the destination is well again, "
                 "`nilometer dead-letters redrive` sends them to it.", "sum(increase(nilometer_relay_dead_lettered_alerts_total[1h]))",
                 unit="short", steps=[(GREEN, None), (RED, 1)], decimals=0),
            stat("Last taken", "Since when the destination that is worst has taken nothing. Long is well, while nothing waits.", last,
                 unit="s", steps=[(GREEN, None)], decimals=0),
            stat("Open episodes", "Alerts that are still going on, as the destination that knows of most has been told.",
                 "max(sum by (destination) (nilometer_relay_open_episodes))", unit="short", steps=[(GREEN, None)], decimals=0),
            series("Delivered, an hour", "What each destination has taken: reports of episodes, not posts.", counted("forwarded_alerts"),
                   unit="short", defaults=SHARES),
            series("Failing", "1 while a destination does not take what it is sent. For five minutes: *NilometerRelayFailing*.",
                   each("failing", "max"), unit="short", defaults={"min": 0, "max": 1}),
            series("Lag", "Alerts that wait for each destination. Above a hundred for twenty minutes: *NilometerRelayLag*.",
                   each("lag_records", "sum"), unit="short", defaults=SHARES),
            series("Failures and retries, an hour", "Posts that were not taken, and those tried again after a failure: does it come back?",
                   counted("failed_posts", "failed, "), counted("retried_posts", "retried, "), unit="short", defaults=SHARES),
            series("Given up, within an hour", "Refused for good, or after `relay.tries` failures; they lie among the dead letters.",
                   query("sum by (destination) (increase(nilometer_relay_dead_lettered_alerts_total[1h]))", "{{destination}}"),
                   unit="short", defaults=SHARES),
            series("Held and repeated, an hour", "Held back by a suppression or a maintenance window; left out since it was heard before "
                   "(a worker that took over says things again).",
                   counted("suppressed_alerts", "held, "), counted("repeated_alerts", "repeated, "), unit="short", defaults=SHARES),
        ],
    )  # fmt: skip


def files() -> dict[str, str]:
    """Every dashboard's JSON, by the name of its file."""
    made = {each.__name__: each() for each in (overview, sensors, cards, employees, calibration, relay)}
    return {f"{name}.json": json.dumps(told, indent=1, ensure_ascii=False) + "\n" for name, told in made.items()}


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text)
