"""Commands that speak to Kafka: topics made and checked, a broker that is not there, SASL."""

from __future__ import annotations

import asyncio
import signal
import socket
import urllib.error
import urllib.request
from contextlib import contextmanager

import pyarrow.parquet as pq
import pytest
from faust.types import TP

from config.load import load
from streams.agents.verdicts import read
from streams.cli import brokers
from streams.cli.main import main
from streams.engine import running
from streams.simulators.layout import table
from streams.simulators.sensors import simulate_sensors
from streams.transport.broker import partition_of_key
from streams.transport.kafka import url
from streams.transport.kafka_logs import KafkaLogs
from streams.transport.security import client_options, credentials
from tests.kafka.broker import Guarded, Kafka, NoKafka, certify
from tests.kafka.commands import done, here, installation, nilometer, wait_ready
from tests.kafka.conftest import no_broker
from tests.streams.apps import Reader, until

# kafka-python leaves sockets open where it finds no broker; a command's process ends then.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command in this process; its exit code and all it said."""
    monkeypatch.setattr(brokers, "PATIENCE_MS", 1_000)

    def run(*arguments, **environment):
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as end:
                main(list(arguments))
        said = capsys.readouterr()
        return end.value.code or 0, said.out + said.err

    return run


def test_a_verdict_is_sent_to_the_partition_of_its_key(kafka, command):
    with installation(kafka, "employees") as environment:
        prefix = environment["NILOMETER_KAFKA__PREFIX"]
        code, output = command("judge", "employees", "e 17", "ab" * 16, "cleared", **environment)
        assert code == 2
        assert f"topic {prefix}alert.labels is missing: nilometer topics create" in output
        assert command("topics", "create", **environment)[0] == 0
        code, output = command("judge", "employees", "e 17", "ab" * 16 + ".3", "cleared", "--at", "2024-01-31", **environment)
        assert code == 0, output
        assert f"cleared, employees/e 17: {prefix}alert.labels/" in output
        code, output = command("judge", "employees", "e 17", "the one of yesterday", "cleared", **environment)
        assert code == 2
        assert "wanted the id of an alert" in output

        async def told():
            async with KafkaLogs({"bootstrap_servers": kafka}) as logs:
                return [record for number in range(2) for record in (await logs.read_to_end(f"{prefix}alert.labels", number)).records]

        (record,) = asyncio.run(told())
        assert record.partition == partition_of_key(b"e 17", 2)
        verdict = read(record, "employees", 60.0)
        assert verdict is not None
        assert verdict.item == {"key": "e 17", "alert_id": "ab" * 16 + ".3", "verdict": "cleared", "at": "2024-01-31T00:00:00Z"}


def test_topics_are_created_once_and_what_is_otherwise_is_named(kafka, command):
    with installation(kafka, "cards") as environment:
        prefix = environment["NILOMETER_KAFKA__PREFIX"]
        code, output = command("topics", "check", **environment)
        assert code == 2
        assert f"nilometer: topic {prefix}card.transactions is missing: nilometer topics create" in output.splitlines()
        code, output = command("topics", "create", **environment)
        assert code == 0
        assert f"created  {prefix}nilometer.cuts.cards  2 partitions, cleanup.policy=delete, retention.ms=-1" in output
        assert "created" not in command("topics", "create", **environment)[1]
        code, output = command("topics", "check", **environment)
        assert code == 0, output
        assert "topics are there, with their partitions and settings" in output
        code, output = command("topics", "check", **{**environment, "NILOMETER_STREAMS__PARTITIONS": "3"})
        assert code == 2
        assert f"topic {prefix}card.transactions has 2 partitions, wanted 3" in output


def test_commands_without_a_broker_say_so_in_a_line(command, tmp_path):
    file = sensors_file(tmp_path)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        environment = {"NILOMETER_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{nobody.getsockname()[1]}"}
        for arguments in (("topics", "check"), ("replay", str(file), "--topic", "sensor.readings")):
            code, output = command(*arguments, **environment)
            assert code == 2
            (line,) = output.splitlines()
            assert line.startswith(f"nilometer: cannot reach Kafka at {environment['NILOMETER_KAFKA__BOOTSTRAP_SERVERS']}")


def test_replay_wants_a_source_topic_that_is_there(kafka, command, tmp_path):
    file = sensors_file(tmp_path)
    with installation(kafka, "sensors") as environment:
        code, output = command("replay", str(file), "--topic", "sensor.reading", **environment)
        assert (code, output) == (
            2,
            "nilometer: --topic sensor.reading: wanted one of sensor.readings, card.transactions, employee.postings, model.errors, "
            "card.labels\n",
        )
        code, output = command("replay", str(file), "--topic", "sensor.readings", **environment)
        assert code == 2
        assert output.endswith("sensor.readings is missing: nilometer topics create\n")


def test_replay_is_paced_by_event_time_and_stamps_records_with_now(kafka, command, tmp_path):
    file = sensors_file(tmp_path)  # 300 readings, one a second, long ago
    with installation(kafka, "sensors") as environment:
        command("topics", "create", **environment)
        code, output = command("replay", str(file), "--topic", "sensor.readings", "--speed", "300", **environment)
        assert code == 0, output
        assert "300 records" in output

        async def read():
            async with KafkaLogs({"bootstrap_servers": kafka}) as logs:
                topic = environment["NILOMETER_KAFKA__PREFIX"] + "sensor.readings"
                return [r for p in range(2) for r in (await logs.read_to_end(topic, p)).records]

        records = asyncio.run(read())
    stamps = [record.timestamp_ms for record in records]
    assert len(stamps) == 300
    assert stamps == sorted(stamps)
    assert 500 < stamps[-1] - stamps[0] < 5_000
    assert stamps[0] > 1_700_000_000_000


def test_what_is_simulated_to_a_topic_is_what_replay_makes_of_the_simulated_file(kafka, tmp_path):
    def records(environment, topic):
        async def read():
            async with KafkaLogs({"bootstrap_servers": kafka}) as logs:
                whole = [await logs.read_to_end(environment["NILOMETER_KAFKA__PREFIX"] + topic, p) for p in range(2)]
                return [[(record.key, record.value) for record in each.records] for each in whole]

        return asyncio.run(read())

    file, simulate = tmp_path / "cards.parquet", ("simulate", "cards", "--cards", "20", "--days", "20", "--seed", "7")
    here(*simulate, "--out", str(file))
    with installation(kafka, "cards") as one, installation(kafka, "cards") as two:
        for environment in (one, two):
            here("topics", "create", **environment)
        for topic in ("card.transactions", "card.labels"):
            said = here(*simulate, "--topic", topic, "--label-delay", "2d", **one)
            here("replay", str(file), "--topic", topic, "--label-delay", "2d", **two)
            many = pq.read_metadata(file).num_rows
            assert said.startswith(f"{many:,} records to {one['NILOMETER_KAFKA__PREFIX']}{topic} in ")
            made = records(one, topic)
            assert sum(map(len, made)) == many
            assert made == records(two, topic)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A broker that lets nobody in who is not known, and the folder with the certificates."""
    folder = tmp_path_factory.mktemp("certificates")
    try:
        certify(folder)
        broker = Kafka(guarded=Guarded("ann", "open-sesame", folder))
    except NoKafka as reason:
        no_broker(str(reason))
    with broker:
        yield broker, folder


@contextmanager
def known_to(guarded, protocol, mechanism):
    """An installation whose settings name all that the broker wants."""
    broker, folder = guarded
    more = {"SECURITY_PROTOCOL": protocol}
    if mechanism:
        more |= {"SASL_MECHANISM": mechanism, "SASL_USERNAME": "ann", "SASL_PASSWORD": "open-sesame"}
    if protocol.endswith("SSL"):
        more["SSL_CAFILE"] = str(folder / "ca.crt")
    if protocol == "SSL":
        more |= {"SSL_CERTFILE": str(folder / "client.crt"), "SSL_KEYFILE": str(folder / "client.key")}
    settings = {f"NILOMETER_KAFKA__{name}": value for name, value in more.items()}
    with installation(broker.addresses[protocol], "sensors", **settings) as environment:
        yield environment


@pytest.mark.parametrize(
    ("protocol", "mechanism"),
    [
        ("SASL_PLAINTEXT", "PLAIN"),
        ("SSL", ""),
        ("SASL_SSL", "PLAIN"),
        ("SASL_SSL", "SCRAM-SHA-256"),
        ("SASL_SSL", "SCRAM-SHA-512"),
    ],
)
def test_every_client_proves_who_it_is(guarded, tmp_path, protocol, mechanism):
    file = sensors_file(tmp_path)
    with known_to(guarded, protocol, mechanism) as environment:
        here("topics", "create", **environment)
        here("replay", str(file), "--topic", "sensor.readings", **environment)
        here("status", **environment)
        settings = load(environment=environment).kafka
        topic = settings.prefix + "sensor.readings"

        async def through_faust():
            reader = Reader(url(settings.bootstrap_servers), topic, topic, broker_credentials=credentials(settings))
            async with running(reader.app) as app:
                await until(lambda: len(reader.values()) == 300)
                end = reader.next.get(TP(topic, 0), 0)
                await (await app.producer.send(topic, b"k", b"one more", 0, None, None))
            async with KafkaLogs(client_options(settings)) as logs:
                assert (await logs.read_to_end(topic, 0)).records[-1].value == b"one more"
                assert await logs.end(topic, 0) == end + 1

        asyncio.run(through_faust())


@pytest.mark.parametrize(
    ("protocol", "mechanism", "name", "value"),
    [
        ("SASL_PLAINTEXT", "PLAIN", "SASL_PASSWORD", "open-barley"),
        ("SASL_SSL", "SCRAM-SHA-512", "SASL_PASSWORD", "open-barley"),
        ("SASL_SSL", "PLAIN", "SSL_CAFILE", ""),  # the system's authorities do not know ours
        ("SSL", "", "SSL_CERTFILE", ""),
    ],
)
def test_who_is_not_known_is_told_so_in_a_line(guarded, command, protocol, mechanism, name, value):
    with known_to(guarded, protocol, mechanism) as environment:
        environment |= {f"NILOMETER_KAFKA__{name}": value}
        if name == "SSL_CERTFILE":
            environment["NILOMETER_KAFKA__SSL_KEYFILE"] = ""
        code, output = command("topics", "check", **environment)
        assert code == 2
        (line,) = output.splitlines()
        assert line.startswith(f"nilometer: cannot reach Kafka at {environment['NILOMETER_KAFKA__BOOTSTRAP_SERVERS']}")
        assert "open-" not in line


MARKER = "xyzzy-plugh-7731"


@pytest.mark.slow  # two workers, from nothing
def test_no_secret_is_in_what_a_worker_or_a_command_says(guarded):
    """A worker that is refused, at its loudest, and one that is let in: every line, every page, every command."""
    others = {
        "NILOMETER_LOG__HASH_SECRET": f"{MARKER}-hash", "NILOMETER_LOG__LEVEL": "debug",
        "NILOMETER_RELAY__WEBHOOK_SECRET": f"{MARKER}-hook",
        "NILOMETER_RELAY__WEBHOOKS": f"http://hook.example/?token={MARKER}-url",
        "NILOMETER_RELAY__ALERTMANAGER_AUTHORIZATION": f"Bearer {MARKER}-bearer",
        "NILOMETER_KAFKA__SCHEMA_REGISTRY_LOGIN": f"ann:{MARKER}-login",
    }  # fmt: skip
    said = []
    with known_to(guarded, "SASL_PLAINTEXT", "SCRAM-SHA-256") as environment:
        refused = environment | others | {"NILOMETER_KAFKA__SASL_PASSWORD": f"{MARKER}-password"}
        process = nilometer("worker", **refused)
        try:
            for line in iter(process.stdout.readline, ""):
                said.append(line)
                if "cannot reach Kafka" in line:
                    break
            said += [fetched(refused, path) for path in PAGES]
            process.send_signal(signal.SIGTERM)
            said.append(done(process))
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        said += [here("config", command, **refused) for command in ("check", "show")]
        said += [here(*command, code=2, **refused) for command in (("topics", "check"), ("status",))]
        known = environment | others
        process = nilometer("worker", **known)
        try:
            wait_ready(process, known)
            pages = [fetched(known, path) for path in PAGES]
            process.send_signal(signal.SIGTERM)
            said += [*pages, done(process)]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
    assert "nilometer_ready 1.0" in pages[0]
    whole = "\n".join(said)
    assert MARKER not in whole
    assert "open-sesame" not in whole
    assert "sasl_password is set, and not shown" in whole
    assert all(page.startswith("404 ") for page in (*pages[3:],))


PAGES = ("metrics", "healthz", "readyz", "", "debug", "config", "metrics/../../etc/passwd", "static/", "favicon.ico")


def fetched(environment, path):
    """A page of a worker's port, with its status; it answers on loopback."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{environment['NILOMETER_METRICS__PORT']}/{path}", timeout=60) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as refused:
        with refused:
            return f"{refused.code} {refused.read().decode()}"


def test_a_worker_waits_for_a_broker_that_is_down_at_the_start(own_kafka):
    own_kafka.kill()
    with installation(own_kafka.address, "sensors") as environment:
        process = nilometer("worker", **environment)
        try:
            lines = iter(process.stdout.readline, "")
            for line in lines:
                if "cannot reach Kafka" in line:
                    break
            assert own_kafka.address in line
            assert "trying again every 3 s" in line
            own_kafka.start()
            wait_ready(process, environment)
            process.send_signal(signal.SIGTERM)
            done(process)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


def sensors_file(folder):
    file = folder / "file.parquet"
    pq.write_table(table(simulate_sensors(points=300, sensors=1, anomalies=1, length=20, period=40, seed=2)), file)
    return file
