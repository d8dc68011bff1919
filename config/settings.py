"""What can be set: a frozen struct a section, and beside every key what is wanted of it.

Defaults stand in `default.toml` and nowhere else; this module knows names, types and bounds. A section's checks speak of
keys that must agree with each other.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from config import windows


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a value must be: the words for a person, and the test. Types are checked before. A secret is never shown."""

    words: str
    holds: Callable[[Any], bool]
    secret: bool = False


def whole(low: int, high: int, what: str) -> Wanted:
    return Wanted(f"a whole number of {what} from {low:,} to {high:,}", lambda value: low <= value <= high)


def one_of(*names: str) -> Wanted:
    return Wanted("one of " + ", ".join(f'"{name}"' for name in names), lambda value: value in names)


def _distinct(names: tuple[str, ...]) -> bool:
    return len(names) > 0 and len(set(names)) == len(names) and all(names)


_OWN_TOPICS = re.compile(r"(alerts|scores|nilometer)\..*|alert\.labels|card\.labels|dead-letters")
_SOURCES = ("sensor.readings", "card.transactions", "employee.postings", "model.errors")


def _topic(name: str) -> bool:
    """Whether replies may be sent to a topic of this name: what we write or fold ourselves must stay what it is."""
    legal = re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name) is not None and name not in (".", "..")
    return legal and _OWN_TOPICS.fullmatch(name) is None and name not in _SOURCES


MODELS = ("forest", "naive_bayes", "boosting", "logistic_regression", "nearest_neighbours")  # families of river's
STREAMS = ("sensors", "cards", "employees", "errors")


def _servers(text: str) -> bool:
    for server in text.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65_536 or any(c.isspace() for c in host):
            return False
    return True


def _topic_part(text: str) -> bool:
    return len(text) <= 100 and text.isascii() and all(c.isalnum() or c in "._-" for c in text)


def _day_of_year(text: str) -> bool:
    if len(text) != 5 or text[2] != "-" or not text.isascii():
        return False
    try:
        datetime.strptime(f"2023-{text}", "%Y-%m-%d").replace(tzinfo=UTC)  # 2023: a year that 29 February is not in
    except ValueError:
        return False
    return True


def _days(days: tuple[int, ...]) -> bool:
    return 1 <= len(days) <= 24 and list(days) == sorted(set(days)) and days[0] >= 1 and days[-1] <= 366


def _urls(text: str) -> bool:
    for url in filter(None, map(str.strip, text.split(","))):
        try:
            parts = urlsplit(url)
            sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            return False
        if not sound or not url.isprintable() or " " in url:
            return False
    return True


def _signing(text: str) -> bool:
    if not text.startswith("whsec_"):
        return True
    try:
        return b64decode(text.removeprefix("whsec_"), validate=True) != b""
    except ValueError:
        return False


def _windows(texts: tuple[str, ...]) -> bool:
    try:
        return all(windows.read(text, STREAMS) for text in texts)
    except ValueError:
        return False


def _zone(name: str) -> bool:
    try:
        return bool(windows.zone(name))
    except ValueError:
        return False


def _currency(text: str) -> bool:
    return text == "" or (len(text) == 3 and text.isascii() and text.isalpha() and text.isupper())


PROBABILITY = Wanted("a probability strictly between 0 and 1", lambda value: 0.0 < value < 1.0)
SECONDS = Wanted("a number of seconds above 0", lambda value: 0.0 < value < math.inf)
SWITCH = Wanted("true or false", lambda value: True)
QUIET = whole(1, 1_000_000, "alerting units")
KEYS = whole(1, 100_000_000, "keys")
EXPONENT = Wanted("the decimal places of the currency's minor unit, from 0 to 6", lambda value: 0 <= value <= 6)
CURRENCY = Wanted('a currency of three capital letters ("EUR"), or "" for any', _currency)
NORMAL_DAYS = Wanted("a number of days above 0, at most 3,660", lambda value: 0.0 < value <= 3_660.0)
RATIO = Wanted("a ratio above 1", lambda value: 1.0 < value < math.inf)
COST = Wanted("0 or more", lambda value: 0.0 <= value < math.inf)
SERVERS = Wanted("host:port, or several with commas between", _servers)
TEXT = Wanted("text", lambda value: True)
SECRET = Wanted("text", lambda value: True, secret=True)
REGISTRY = Wanted("http://host:port or https://host, or nothing", lambda value: value == "" or value.startswith(("http://", "https://")))
LOGIN = Wanted("user:password, or nothing", lambda value: value == "" or ":" in value, secret=True)
FILE = Wanted("a path, or nothing", lambda value: "\0" not in value)
COPIES = Wanted("a number of copies, or 0 for the broker's default", lambda value: 0 <= value <= 1_000)
TOPIC_PART = Wanted("letters, digits, dots, dashes or underscores, at most 100", _topic_part)
ENABLED = Wanted("a list of different streams out of " + ", ".join(STREAMS), lambda value: _distinct(value) and set(value) <= set(STREAMS))
HASHED = Wanted(
    "a list of different streams out of " + ", ".join(STREAMS) + ", or none",
    lambda value: len(set(value)) == len(value) and set(value) <= set(STREAMS),
)
MOMENT = Wanted("a time with an offset, such as 1970-01-01T00:00:00Z", lambda value: True)
AHEAD = Wanted("a number of seconds from 0 to 10,000,000,000", lambda value: 0.0 <= value <= 1e10)
DAYS = Wanted("a list of whole days, ascending, from 1 to 366, at most 24", _days)
MODES = Wanted("a list of different names of payment modes, 1 to 64", lambda value: _distinct(value) and len(value) <= 64)
SHARE = Wanted("a share above 0, at most 1", lambda value: 0.0 < value <= 1.0)
A_DAY = Wanted("a number a day, 0 for none set", lambda value: 0.0 <= value <= 1e6)
SET_ASIDE = Wanted("a share from 0 to 0.5", lambda value: 0.0 <= value <= 0.5)
WEIGHT = Wanted("a number of transactions above 0", lambda value: 0.0 < value < math.inf)
EXPECTED = Wanted("a number of postings above 0", lambda value: 0.0 < value < math.inf)
RATE = Wanted("a number above 0, at most 10", lambda value: 0.0 < value <= 10.0)
CHALLENGERS = Wanted(
    "a list of different models out of " + ", ".join(MODELS), lambda value: len(set(value)) == len(value) and set(value) <= set(MODELS)
)
REPLY_TOPICS = Wanted(
    "a list of different names of topics (letters, digits, '.', '_', '-'), none of them one of Nilometer's own",
    lambda value: len(set(value)) == len(value) and all(_topic(name) for name in value),
)
LENGTH = Wanted(
    'a whole number of readings from 6 to 4,096, or "auto"', lambda value: value == "auto" if isinstance(value, str) else 6 <= value <= 4096
)
REBUILDS = Wanted(
    "a list of ascending numbers of readings, from 1 to 1,000,000, at most 8",
    lambda value: len(value) <= 8 and [*value] == sorted({*value}) and all(1 <= readings <= 1_000_000 for readings in value),
)
INTERVALS = Wanted("a number of usual intervals, or 0 for never", lambda value: 0.0 <= value <= 1e9)
PER_THOUSAND = Wanted("a number above 0, below 1,000", lambda value: 0.0 < value < 1_000.0)
HALF_LIFE = Wanted("a number of postings, at least 1", lambda value: 1.0 <= value < math.inf)
MONTHS = Wanted("1, 2, 3, 4, 6 or 12 months", lambda value: value in (1, 2, 3, 4, 6, 12))
BAND = Wanted("a share of the approval limit, from 0.001 to 0.3", lambda value: 0.001 <= value <= 0.3)
OFFSET = Wanted("minutes within a day, from -1,439 to 1,439", lambda value: abs(value) < 1_440)
TOLERANCE = Wanted("a number of decades from 0 to 1", lambda value: 0.0 <= value <= 1.0)
LIMITS = Wanted("ascending amounts of 2 minor units and more", lambda value: [*value] == sorted({*value}) and all(a >= 2 for a in value))
DAY_OF_YEAR = Wanted("a day of the year as MM-DD", _day_of_year)
MU = Wanted("the mean of log10(amount), from −100 to 100", lambda value: abs(value) <= 100.0)
SIGMA = Wanted("the standard deviation of log10(amount), from 0.000001 to 10", lambda value: 1e-6 <= value <= 10.0)
URLS = Wanted("http:// or https:// addresses with commas between, or nothing", _urls)
HOOKS = Wanted("http:// or https:// addresses with commas between, or nothing", _urls, secret=True)
SIGNING = Wanted('"whsec_" and base64 behind it, padded with "=" to fours, or any text that begins otherwise', _signing, secret=True)
WINDOWS = Wanted(
    'a list of windows such as "Sun 02:00-04:00", "sensors Mon-Fri 22:00-06:00", "2026-12-24T18:00/2026-12-27T06:00"', _windows
)
ZONE = Wanted('a time zone by name, such as "Europe/Berlin"', _zone)
HALF_AN_HOUR = Wanted("a number of seconds from 0 to 1,800", lambda value: 0.0 <= value <= 1_800.0)
RESEND = Wanted("a number of seconds from 1 to 3,600", lambda value: 1.0 <= value <= 3_600.0)
TIMEOUT = Wanted("a number of seconds above 0, at most 300", lambda value: 0.0 < value <= 300.0)
ADDRESS = Wanted("an address to listen on", lambda value: value != "" and not any(c.isspace() for c in value))
WATCH = Wanted("a list of different ids, at most 20", lambda value: len(set(value)) == len(value) <= 20 and all(value))
PORT = Wanted("a port from 0 (any free one) to 65,535", lambda value: 0 <= value <= 65_535)


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the file."""

    def disagreements(self) -> Iterator[str]:
        """Mistakes between keys, each ``key = value: wanted …``."""
        yield from ()


class Kafka(Section, frozen=True, kw_only=True):
    """How to reach Kafka, and what stands before every name."""

    bootstrap_servers: Annotated[str, SERVERS]
    prefix: Annotated[str, TOPIC_PART]
    replication: Annotated[int, COPIES]
    create_topics: Annotated[bool, SWITCH]
    fetch: Annotated[str, one_of("record_batches", "records")]
    isolation_level: Annotated[str, one_of("read_committed", "read_uncommitted")]
    value_format: Annotated[str, one_of("json", "avro")]
    schema_registry_url: Annotated[str, REGISTRY]
    schema_registry_login: Annotated[str, LOGIN]
    security_protocol: Annotated[str, one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")]
    sasl_mechanism: Annotated[str, one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")]
    sasl_username: Annotated[str, TEXT]
    sasl_password: Annotated[str, SECRET]
    ssl_cafile: Annotated[str, FILE]
    ssl_certfile: Annotated[str, FILE]
    ssl_keyfile: Annotated[str, FILE]

    def disagreements(self) -> Iterator[str]:
        if self.value_format == "avro" and not self.schema_registry_url:
            yield 'schema_registry_url is empty: wanted one, since kafka.value_format = "avro"'
        sasl, tls = self.security_protocol.startswith("SASL"), self.security_protocol.endswith("SSL")
        protocol = f'kafka.security_protocol = "{self.security_protocol}"'
        if sasl and not (self.sasl_username and self.sasl_password):
            missing = "sasl_password" if self.sasl_username else "sasl_username"
            yield f"{missing} is empty: wanted one, since {protocol}"
        if self.sasl_username and not sasl:
            yield f'sasl_username = "{self.sasl_username}": goes with SASL_PLAINTEXT or SASL_SSL, and {protocol}'
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            if getattr(self, name) and not tls:
                yield f'{name} = "{getattr(self, name)}": goes with SSL or SASL_SSL, and {protocol}'
        if self.ssl_keyfile and not self.ssl_certfile:
            yield f'ssl_keyfile = "{self.ssl_keyfile}": wanted kafka.ssl_certfile beside it'


class Streams(Section, frozen=True, kw_only=True):
    """Which streams are watched."""

    enabled: Annotated[tuple[str, ...], ENABLED]
    partitions: Annotated[int, whole(1, 10_000, "partitions")]


class Records(Section, frozen=True, kw_only=True):
    """What a record may be."""

    max_bytes: Annotated[int, whole(100, 100_000_000, "bytes")]
    max_frame: Annotated[int, whole(1, 1_000_000, "readings")]
    earliest_at: Annotated[datetime, MOMENT]
    future_seconds: Annotated[float, AHEAD]

    @property
    def earliest(self) -> int:
        """`earliest_at` in microseconds since 1970."""
        gap = self.earliest_at - datetime(1970, 1, 1, tzinfo=UTC)
        return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds

    @property
    def future(self) -> int:
        """`future_seconds` in microseconds."""
        return round(self.future_seconds * 1e6)


class Sensors(Section, frozen=True, kw_only=True):
    """The Normal Model of NorM."""

    length: Annotated[int | str, LENGTH]
    normal_length: Annotated[int, whole(0, 1_000_000, "readings")]
    warm_up: Annotated[int, whole(0, 100_000_000, "readings")]
    rebuilds: Annotated[tuple[int, ...], REBUILDS]
    calibration: Annotated[int, whole(0, 4096, "readings")]
    epsilon: Annotated[float, PROBABILITY]
    false_alarms_per_sensor_day: Annotated[float, A_DAY]
    promise: Annotated[str, one_of("alerts", "false")]
    expected_anomaly_share: Annotated[float, SET_ASIDE]
    given_hardness: Annotated[bool, SWITCH]
    sample_rate: Annotated[float, SHARE]
    centroids: Annotated[int, whole(1, 100, "centroids")]
    hand_over_lag: Annotated[int, whole(0, 1_000_000, "readings")]
    hand_over_spread: Annotated[int, whole(1, 1_000_000, "readings")]
    gap: Annotated[float, INTERVALS]
    silence: Annotated[float, INTERVALS]
    quiet_units: Annotated[int, QUIET]
    silence_seconds: Annotated[float, SECONDS]
    scores: Annotated[bool, SWITCH]
    key_limit: Annotated[int, KEYS]
    classes: tuple[tuple[str, Sensors], ...] = ()  # by name, ascending: [sensors.class.NAME] is this section with what is said there

    # What a class of sensors may have of its own.
    OF_A_CLASS: ClassVar[tuple[str, ...]] = (
        "length", "normal_length", "warm_up", "rebuilds", "calibration", "epsilon", "sample_rate", "centroids",
        "false_alarms_per_sensor_day", "promise", "expected_anomaly_share", "given_hardness",
    )  # fmt: skip

    @property
    def window(self) -> int:
        """ℓ, readings: what reports measure windows with; 75 where each sensor has a length of its own."""
        return self.length if isinstance(self.length, int) else 75

    def disagreements(self) -> Iterator[str]:
        if self.expected_anomaly_share > 0.0 and self.promise != "false":
            yield f'expected_anomaly_share = {self.expected_anomaly_share}: wanted 0 unless promise is "false"'
        if isinstance(self.length, str):
            if self.normal_length > 0:
                yield f"normal_length = {self.normal_length}: wanted 0 where the length is each sensor's own"
            if 0 < self.warm_up < 1000:
                yield f"warm_up = {self.warm_up}: wanted at least 1,000 readings to find a period in, or 0"
            longest = (self.warm_up or 5000) // 27
            if 0 < self.calibration < longest:
                yield f"calibration = {self.calibration}: wanted at least {longest}, the longest length that warm_up allows, or 0"
            return
        if 0 < self.normal_length < self.length:
            yield f"normal_length = {self.normal_length}: wanted at least length ({self.length}), or 0 for three times it"
        normal_length = self.normal_length or 3 * self.length
        if 0 < self.warm_up < 2 * normal_length:
            yield f"warm_up = {self.warm_up}: wanted at least two windows of {normal_length} readings (normal_length), or 0"
        if 0 < self.calibration < self.length:
            yield f"calibration = {self.calibration}: wanted at least length ({self.length}), or 0"


class Cards(Section, frozen=True, kw_only=True):
    """Conditional weighted transaction aggregation."""

    epsilon: Annotated[float, PROBABILITY]
    windows: Annotated[tuple[int, ...], DAYS]
    modes: Annotated[tuple[str, ...], MODES]
    mode_slots: Annotated[int, whole(1, 32, "payment modes")]
    postings: Annotated[bool, SWITCH]
    txgap: Annotated[str, one_of("paper", "recency")]
    prior_weight: Annotated[float, WEIGHT]
    normal_days: Annotated[float, NORMAL_DAYS]
    unusual_ratio: Annotated[float, RATIO]
    alerts_per_day: Annotated[float, COST]
    review_cost: Annotated[float, COST]
    fraud_loss: Annotated[float, COST]
    fraud_loss_share: Annotated[float, COST]
    critical_loss: Annotated[float, COST]
    aggregates: Annotated[str, one_of("exact", "tiles")]
    label_delay_hours: Annotated[int, whole(1, 8_784, "hours")]
    relabel_hours: Annotated[int, whole(0, 8_784, "hours")]
    learning_rate: Annotated[float, RATE]
    challengers: Annotated[tuple[str, ...], CHALLENGERS]
    ring_limit: Annotated[int, whole(1, 1_000_000, "transactions")]
    calibration: Annotated[int, whole(1, 1_000_000, "scores")]
    exponent: Annotated[int, EXPONENT]
    currency: Annotated[str, CURRENCY]
    quiet_units: Annotated[int, QUIET]
    silence_seconds: Annotated[float, SECONDS]
    scores: Annotated[bool, SWITCH]
    reply_topics: Annotated[tuple[str, ...], REPLY_TOPICS]
    key_limit: Annotated[int, KEYS]

    def disagreements(self) -> Iterator[str]:
        needed = math.ceil(1.0 / self.epsilon - 1e-9) - 1
        if needed > self.calibration:
            yield f"epsilon = {self.epsilon}: needs {needed:,} past scores, cards.calibration keeps only {self.calibration:,}"
        if 24 * self.windows[-1] < self.label_delay_hours:  # p_c is made of what has left the longest window
            yield (
                f"windows = {list(self.windows)}: the longest, {self.windows[-1]} days, is shorter than cards.label_delay_hours = "
                f"{self.label_delay_hours}: a burst would teach a card's payment modes before its labels are there"
            )
        if len(self.modes) > self.mode_slots:
            yield f"mode_slots = {self.mode_slots}: wanted one at least for each of the {len(self.modes)} cards.modes"


class Benford(Section, frozen=True, kw_only=True):
    """The modified Benford law of employees' postings."""

    false_alarms_per_1000_employees_per_year: Annotated[float, PER_THOUSAND]
    alpha: Annotated[float | None, PROBABILITY] = None
    false_discovery_rate: Annotated[float, PROBABILITY]
    period_months: Annotated[int, MONTHS]
    tolerance_mu: Annotated[float, TOLERANCE]
    tolerance_sigma: Annotated[float, TOLERANCE]
    band_width: Annotated[float, BAND]
    limit: Annotated[int, whole(0, 2**62 - 1, "minor units")]
    approval_limits: Annotated[tuple[int, ...], LIMITS]
    distinct: Annotated[int, whole(1, 65_536, "amounts")]
    window: Annotated[int, whole(10, 1_000_000, "postings")]
    minimum_expected: Annotated[float, EXPECTED]
    half_life: Annotated[float, HALF_LIFE]
    year_start: Annotated[str, DAY_OF_YEAR]
    utc_offset: Annotated[int, OFFSET]
    mu: Annotated[float | None, MU] = None
    sigma: Annotated[float | None, SIGMA] = None
    exponent: Annotated[int, EXPONENT]
    currency: Annotated[str, CURRENCY]
    quiet_units: Annotated[int, QUIET]
    silence_seconds: Annotated[float, SECONDS]
    scores: Annotated[bool, SWITCH]
    key_limit: Annotated[int, KEYS]

    def disagreements(self) -> Iterator[str]:
        if (self.mu is None) != (self.sigma is None):
            given, missing = ("mu", "sigma") if self.sigma is None else ("sigma", "mu")
            yield f"{given} = {getattr(self, given)}: wanted benford.{missing} beside it, or neither"


class Calibration(Section, frozen=True, kw_only=True):
    """Hardness calibration (CADET) of any model's error."""

    epsilon: Annotated[float, PROBABILITY]
    mode: Annotated[str, one_of("conditional", "joint", "off")]
    guarantee: Annotated[str, one_of("tracking", "exact")]
    ties: Annotated[str, one_of("drawn", "never")]
    warm_up: Annotated[int, whole(6, 1_000_000, "events")]
    bins: Annotated[int, whole(1, 64, "bins")]
    width: Annotated[int, whole(10, 1_000_000, "events")]
    curve_rate: Annotated[float, SHARE]
    level_rate: Annotated[float, SHARE]
    drift_odds: Annotated[float, Wanted("odds above 1, at most 1e30", lambda value: 1.0 < value <= 1e30)]
    hand_over_lag: Annotated[int, whole(0, 1_000_000, "events")]
    hand_over_spread: Annotated[int, whole(1, 1_000_000, "events")]
    quiet_units: Annotated[int, QUIET]
    silence_seconds: Annotated[float, SECONDS]
    scores: Annotated[bool, SWITCH]
    key_limit: Annotated[int, KEYS]

    def disagreements(self) -> Iterator[str]:
        kept = self.bins * self.width
        if self.warm_up > kept:
            yield f"warm_up = {self.warm_up}: wanted at most bins · width = {kept:,} events"
        needed = math.ceil((2.0 if self.mode == "joint" else 1.0) / self.epsilon - 1e-9) - 1
        if needed > kept:
            width = -(-needed // self.bins)
            yield (
                f"epsilon = {self.epsilon}: needs {needed:,} events to rank among, bins · width = {kept:,} are kept; "
                f"wanted a width of at least {width:,}, or a larger epsilon"
            )


class Checkpoint(Section, frozen=True, kw_only=True):
    """How often a partition's state is made durable."""

    interval: Annotated[float, SECONDS]
    bytes_per_second: Annotated[int, whole(10_000, 10_000_000_000, "bytes")]


class Log(Section, frozen=True, kw_only=True):
    """What a worker says of itself, and how."""

    format: Annotated[str, one_of("text", "json")]
    level: Annotated[str, one_of("debug", "info", "warning", "error")]
    hash_keys: Annotated[tuple[str, ...], HASHED]
    hash_secret: Annotated[str, SECRET]


class Metrics(Section, frozen=True, kw_only=True):
    """Where /metrics, /healthz and /readyz answer."""

    host: Annotated[str, ADDRESS]
    port: Annotated[int, PORT]
    watch: Annotated[tuple[str, ...], WATCH]


class Relay(Section, frozen=True, kw_only=True):
    """Where alerts go from their topics, and when they are held."""

    alertmanagers: Annotated[str, URLS]
    alertmanager_authorization: Annotated[str, SECRET]
    webhooks: Annotated[str, HOOKS]
    webhook_secret: Annotated[str, SIGNING]
    key_label: Annotated[bool, SWITCH]
    resend: Annotated[float, RESEND]
    minimum: Annotated[float, HALF_AN_HOUR]
    timeout: Annotated[float, TIMEOUT]
    tries: Annotated[int, whole(1, 1_000, "tries")]
    backoff: Annotated[float, TIMEOUT]
    longest_backoff: Annotated[float, RESEND]
    maintenance: Annotated[tuple[str, ...], WINDOWS]
    timezone: Annotated[str, ZONE]
    host: Annotated[str, ADDRESS]
    port: Annotated[int, PORT]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration, a section an attribute."""

    kafka: Kafka
    streams: Streams
    records: Records
    sensors: Sensors
    cards: Cards
    benford: Benford
    calibration: Calibration
    checkpoint: Checkpoint
    log: Log
    metrics: Metrics
    relay: Relay
