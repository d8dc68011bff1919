"""Settings: where they come from, and that every mistake is named."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.load import ConfigError, changed, defaults, in_toml, load, replaced
from config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def mistakes(**given: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(**{"environment": {}, **given})
    return caught.value.mistakes


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "nilometer.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_later_source_goes_before_an_earlier_one(tmp_path: Path) -> None:
    path = written(tmp_path, "[sensors]\nlength = 50\nquiet_units = 4\nepsilon = 0.02\n")
    environment = {"NILOMETER_SENSORS__LENGTH": "60", "NILOMETER_SENSORS__QUIET_UNITS": "5"}
    settings = load(path, environment, {"sensors.length": 70, "sensors.scores": None})
    assert (settings.sensors.length, settings.sensors.quiet_units, settings.sensors.epsilon) == (70, 5, 0.02)
    assert settings.cards == defaults().cards


def test_the_environment_is_text_for_text_and_json_for_the_rest() -> None:
    environment = {
        "NILOMETER_KAFKA__BOOTSTRAP_SERVERS": "one:9092,two:9093",
        "NILOMETER_KAFKA__PREFIX": "123",
        "NILOMETER_CARDS__WINDOWS": "[2, 14]",
        "NILOMETER_STREAMS__ENABLED": '["cards"]',
        "NILOMETER_CARDS__SCORES": "False",
        "NILOMETER_CHECKPOINT__INTERVAL": "3",
        "NILOMETER_RECORDS__EARLIEST_AT": "2020-01-01T00:00:00+01:00",
        "NILOMETER_BENFORD__MU": "3",
        "NILOMETER_BENFORD__SIGMA": "0.5",
    }
    settings = load(environment=environment)
    assert settings.kafka.bootstrap_servers == "one:9092,two:9093"
    assert settings.kafka.prefix == "123"
    assert settings.cards.windows == (2, 14)
    assert settings.streams.enabled == ("cards",)
    assert settings.cards.scores is False
    assert settings.checkpoint.interval == 3.0
    assert settings.records.earliest == 1_577_833_200_000_000
    assert (settings.benford.mu, settings.benford.sigma) == (3.0, 0.5)


def test_a_length_may_be_each_sensors_own():
    assert load(environment={"NILOMETER_SENSORS__LENGTH": "auto"}).sensors.length == "auto"
    assert load(environment={"NILOMETER_SENSORS__LENGTH": "50"}).sensors.length == 50
    with pytest.raises(ConfigError, match="normal_length = 60: wanted 0 where the length"):
        load(environment={}, overrides={"sensors.length": "auto", "sensors.normal_length": 60})


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = '[benford]\nalpha = 1.5\n[sensors]\nlenght = 3\nlength = "long"\n[sensor]\nlength = 3\n[metrics]\nport = 70000\n'
    environment = {"NILOMETER_CARDS__EPSILON": "0", "NILOMETER_KAFKA_PREFIX": "a."}
    assert sorted(mistakes(path=written(tmp_path, text), environment=environment)) == [
        "NILOMETER_KAFKA_PREFIX: is not read; did you mean NILOMETER_KAFKA__PREFIX?",
        "[sensor]: no such section; did you mean sensors?",
        "benford.alpha = 1.5: wanted a probability strictly between 0 and 1",
        "cards.epsilon = 0: wanted a probability strictly between 0 and 1 (from NILOMETER_CARDS__EPSILON)",
        "metrics.port = 70000: wanted a port from 0 (any free one) to 65,535",
        "sensors.lenght: no such key; did you mean length?",
        'sensors.length = "long": wanted a whole number of readings from 6 to 4,096, or "auto"',
    ]


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("sensors.length", True, "a whole number of readings"),
        ("sensors.length", 75.0, "a whole number of readings"),
        ("sensors.epsilon", float("nan"), "a probability"),
        ("sensors.scores", 1, "true or false"),
        ("cards.windows", [3, 1], "a list of whole days, ascending"),
        ("cards.windows", [], "a list of whole days, ascending"),
        ("cards.windows", ["1"], "a list of whole days, ascending"),
        ("cards.modes", ["a", "a"], "a list of different names"),
        ("cards.currency", "euro", "a currency of three capital letters"),
        ("cards.txgap", "Paper", 'one of "paper", "recency"'),
        ("benford.year_start", "02-30", "a day of the year as MM-DD"),
        ("benford.sigma", 0, "the standard deviation of log10(amount)"),
        ("streams.enabled", ["sensor"], "a list of different streams out of sensors, cards, employees, errors"),
        ("kafka.bootstrap_servers", "localhost", "host:port"),
        ("kafka.bootstrap_servers", "a:1,,b:2", "host:port"),
        ("kafka.prefix", "a b", "letters, digits, dots, dashes or underscores"),
        ("kafka.fetch", "record", 'one of "record_batches", "records"'),
        ("kafka.security_protocol", "TLS", 'one of "PLAINTEXT", "SSL"'),
        ("kafka.replication", -1, "a number of copies"),
        ("records.earliest_at", "2020-01-01T00:00:00", "a time with an offset"),
        ("records.future_seconds", float("inf"), "a number of seconds"),
        ("checkpoint.interval", 0, "a number of seconds above 0"),
    ],
)
def test_a_bad_value_is_refused_by_name(key: str, value: object, wanted: str) -> None:
    (mistake,) = mistakes(overrides={key: value})
    assert mistake.startswith(f"{key} = ")
    assert f": wanted {wanted}" in mistake


@pytest.mark.parametrize(
    ("overrides", "mistake"),
    [
        ({"sensors.normal_length": 10}, "sensors.normal_length = 10: wanted at least length (75), or 0 for three times it"),
        ({"cards.calibration": 100}, "cards.epsilon = 0.001: needs 999 past scores, cards.calibration keeps only 100"),
        (
            {"cards.label_delay_hours": 169},
            "cards.windows = [1, 3, 7]: the longest, 7 days, is shorter than cards.label_delay_hours = 169: a burst would teach a card's "
            "payment modes before its labels are there",
        ),
        ({"cards.mode_slots": 1}, "cards.mode_slots = 1: wanted one at least for each of the 2 cards.modes"),
        ({"sensors.warm_up": 400}, "sensors.warm_up = 400: wanted at least two windows of 225 readings (normal_length), or 0"),
        ({"sensors.calibration": 70}, "sensors.calibration = 70: wanted at least length (75), or 0"),
        ({"benford.mu": 3.0}, "benford.mu = 3.0: wanted benford.sigma beside it, or neither"),
        (
            {"kafka.security_protocol": "SASL_SSL", "kafka.sasl_username": "ann"},
            'kafka.sasl_password is empty: wanted one, since kafka.security_protocol = "SASL_SSL"',
        ),
        (
            {"kafka.sasl_username": "ann"},
            'kafka.sasl_username = "ann": goes with SASL_PLAINTEXT or SASL_SSL, and kafka.security_protocol = "PLAINTEXT"',
        ),
        (
            {"kafka.ssl_cafile": "ca.pem"},
            'kafka.ssl_cafile = "ca.pem": goes with SSL or SASL_SSL, and kafka.security_protocol = "PLAINTEXT"',
        ),
        (
            {"kafka.security_protocol": "SSL", "kafka.ssl_keyfile": "key.pem"},
            'kafka.ssl_keyfile = "key.pem": wanted kafka.ssl_certfile beside it',
        ),
    ],
)
def test_keys_that_do_not_agree_are_named(overrides: dict[str, object], mistake: str) -> None:
    assert mistakes(overrides=overrides) == (mistake,)


def test_a_file_that_cannot_be_read_is_one_mistake(tmp_path: Path) -> None:
    (missing,) = mistakes(path=tmp_path / "none.toml")
    assert missing.endswith("none.toml: cannot be read (No such file or directory)")
    (broken,) = mistakes(path=written(tmp_path, "[sensors\n"))
    assert "is not TOML" in broken
    (outside,) = mistakes(path=written(tmp_path, "length = 3\n"))
    assert outside == "length = 3: stands outside a section; wanted [section] above it (perhaps [sensors])"


def test_other_programs_variables_and_ours_for_tests_are_left_alone() -> None:
    assert load(environment={"NILOMETER_DATA": "/data", "NILOMETER_TEST_KAFKA": "a:1", "SENSORS__LENGTH": "x"}) == defaults()


def test_the_printed_settings_give_the_same_settings(tmp_path: Path) -> None:
    settings = replaced(defaults(), sensors={"length": 50}, benford={"mu": 3.0, "sigma": 0.5}, cards={"windows": (2, 9), "currency": "EUR"})
    text = in_toml(settings)
    assert "length = 50  # default: 75" in text
    assert load(written(tmp_path, text), environment={}) == settings
    assert changed(settings) == [
        "sensors.length = 50", "cards.windows = [2, 9]", 'cards.currency = "EUR"', "benford.mu = 3.0", "benford.sigma = 0.5",
    ]  # fmt: skip


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    sasl = {"security_protocol": "SASL_SSL", "sasl_username": "ann", "sasl_password": "open sesame"}
    settings = replaced(defaults(), kafka=sasl)
    assert settings.kafka.sasl_password == "open sesame"
    for text in (in_toml(settings), "\n".join(changed(settings)), *mistakes(overrides={"kafka.sasl_password": ["open sesame"]})):
        assert "sasl_password" in text
        assert "sesame" not in text


def test_settings_are_frozen_and_can_be_hashed() -> None:
    with pytest.raises(AttributeError):
        defaults().sensors.length = 3  # type: ignore[misc]
    assert hash(defaults()) == hash(load(environment={}))


def test_every_key_has_a_default_and_every_default_a_comment() -> None:
    text = (ROOT / "config" / "default.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text.replace("# alpha =", "alpha =").replace("# mu =", "mu =").replace("# sigma =", "sigma ="))
    table["sensors"]["classes"] = {}  # [sensors.class.NAME]: none by default
    assert {section: set(keys) for section, keys in table.items()} == {
        section.name: {field.name for field in msgspec.structs.fields(section.type)} for section in msgspec.structs.fields(Settings)
    }
    bare = [line for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#") and "#" not in line]
    assert bare == []


def _keywords(detector: type) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(detector).parameters.items()}


@pytest.mark.parametrize(
    ("section", "module", "name"),
    [
        ("sensors", "detectors.normal_model.detector", "NormalModelDetector"),
        ("cards", "detectors.aggregation.detector", "AggregationDetector"),
        ("benford", "detectors.benford.detector", "BenfordDetector"),
        ("calibration", "detectors.hardness.detector", "HardnessDetector"),
    ],
)
def test_a_detectors_own_defaults_are_those_of_the_file(section: str, module: str, name: str) -> None:
    keywords = _keywords(getattr(__import__(module, fromlist=[name]), name))
    values = getattr(defaults(), section)
    for field in msgspec.structs.fields(type(values)):
        if field.name in keywords:
            by_default = keywords[field.name]
            wanted = 0 if by_default is None and field.name not in ("alpha", "mu", "sigma") else by_default  # 0: the detector chooses
            assert getattr(values, field.name) == wanted, f"{section}.{field.name}"
    trainer = {"label_delay_hours", "relabel_hours", "learning_rate", "challengers"} if section == "cards" else set()
    only_ours = trainer | {"silence_seconds", "scores", "currency", "postings", "reply_topics", "classes"}
    assert {field.name for field in msgspec.structs.fields(type(values))} - only_ours == set(keywords) - {"classes"}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.cli.main", *arguments],
        cwd=ROOT, env={"PATH": "", "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_config_check_names_every_mistake_without_a_traceback() -> None:
    bad = run("config", "check", NILOMETER_BENFORD__ALPHA="1.5", NILOMETER_SENSORS__LENGHT="3")
    assert bad.returncode == 2
    assert bad.stdout == ""
    assert sorted(bad.stderr.splitlines()) == [
        "nilometer: benford.alpha = 1.5: wanted a probability strictly between 0 and 1 (from NILOMETER_BENFORD__ALPHA)",
        "nilometer: sensors.lenght: no such key; did you mean length? (from NILOMETER_SENSORS__LENGHT)",
    ]
    good = run("config", "check", NILOMETER_BENFORD__ALPHA="0.5")
    assert (good.returncode, good.stderr) == (0, "")
    assert "benford.alpha = 0.5" in good.stdout


def test_config_show_prints_what_is_in_force() -> None:
    shown = run("config", "show", NILOMETER_SENSORS__LENGTH="50")
    assert shown.returncode == 0
    assert tomllib.loads(shown.stdout)["sensors"]["length"] == 50


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom streams.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'numba', 'numpy', 'faust', 'pyarrow', 'scipy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "config" in done.stdout


def test_a_package_that_shadows_ours_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "__init__.py").write_text("")
    code = "import streams.cli.main as m, sys; sys.path.insert(0, sys.argv[1]); m.main(['config', 'check'])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"nilometer: the package state is taken from {tmp_path / 'state' / '__init__.py'}" in done.stderr


def test_a_class_of_sensors_differs_from_the_others_where_it_says_so(tmp_path: Path) -> None:
    text = "[sensors]\nepsilon = 0.02\n[sensors.class.pump]\nlength = 50\n[sensors.class.fan]\nepsilon = 0.001\n"
    settings = load(written(tmp_path, text), {})
    (_, fan), (_, pump) = settings.sensors.classes
    assert (pump.length, pump.epsilon) == (50, 0.02)
    assert (fan.length, fan.epsilon) == (settings.sensors.length, 0.001)
    assert load(written(tmp_path, in_toml(settings)), {}) == settings
    assert "sensors.class.pump.length = 50" in changed(settings)
    assert dict(replaced(settings, sensors={"quiet_units": 7}).sensors.classes)["pump"].length == 50
    assert dict(replaced(settings, sensors={"quiet_units": 7}).sensors.classes)["pump"].quiet_units == 7


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[sensors.class.pump]\nlenght = 50\n", "sensors.class.pump.lenght: no such key; did you mean length?"),
        ("[sensors.class.pump]\nscores = true\n", "sensors.class.pump.scores: no such key"),
        ("[sensors.class.pump]\nlength = 5\n", "sensors.class.pump.length = 5: wanted"),
        ("[sensors.class.pump]\nnormal_length = 50\n", "sensors.class.pump.normal_length = 50: wanted at least length"),
        ("[sensors.class]\npump = 50\n", "sensors.class: wanted tables [sensors.class.NAME]"),
    ],
)
def test_a_mistake_in_a_class_names_the_class(tmp_path: Path, text: str, says: str) -> None:
    (mistake,) = mistakes(path=written(tmp_path, text))
    assert mistake.startswith(says)
