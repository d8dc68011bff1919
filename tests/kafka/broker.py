"""A real Apache Kafka of one node, for tests and benches: jars from Maven Central, kept; started on free ports, in a folder of its own.

with Kafka() as kafka:
    print(kafka.address)
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

VERSION = "4.1.0"
ARTIFACTS = (
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.apache.kafka", "kafka-tools", VERSION),
    ("org.slf4j", "slf4j-nop", "1.7.36"),
)
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
STARTS_WITHIN = 60.0  # seconds; 3 to 5 on a quiet machine

# Whatever a broker looks after once in five minutes is looked after at once: a test that leans on the wait fails always, not rarely.
# Records are kept for ever by default: many of ours carry times of years ago, older than any retention.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BEHIND:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
controller.listener.names=CONTROLLER
log.dirs={folder}/log
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.backoff.ms=500
log.initial.task.delay.ms=500
log.retention.check.interval.ms=500
log.retention.ms=-1
auto.create.topics.enable=false
{more}
"""

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>nilometer</groupId><artifactId>broker</artifactId><version>1</version><dependencies>
{dependencies}
</dependencies></project>
"""


class NoKafka(Exception):
    """There is no broker to be had here; the message says why."""


def jars() -> Path:
    """The folder with the broker's jars, filled by Maven when first asked for.

    Raises
    ------
    NoKafka
        There is no Java or no Maven, or Maven Central cannot be reached.
    """
    if shutil.which("java") is None:
        raise NoKafka("no `java` on the path: a broker needs Java 17")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nilometer" / f"kafka-{VERSION}"
    if (cache / f"kafka_2.13-{VERSION}.jar").exists():
        return cache
    if shutil.which("mvn") is None:
        raise NoKafka(f"no `mvn` on the path to fetch the broker's jars into {cache}")
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as folder:
        dependencies = "\n".join(
            f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version></dependency>"
            for group, name, version in ARTIFACTS
        )
        (Path(folder) / "pom.xml").write_text(POM.format(dependencies=dependencies))
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"]
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode:
            raise NoKafka(f"Maven could not fetch the broker's jars: {made.stdout[-500:]}{made.stderr[-500:]}")
        if cache.is_dir():  # an earlier fetch that was cut short, or a later one that was faster
            shutil.rmtree(cache, ignore_errors=True)
        Path(folder, "lib").rename(cache)
    return cache


@dataclass(frozen=True)
class Guarded:
    """Who may come in: a user by a password (SASL, by each of our mechanisms), and whoever holds a certificate of ours (SSL).

    `certificates` is a folder that `certify` has filled; without it nothing is encrypted.
    """

    user: str
    password: str
    certificates: Path | None = None

    @property
    def protocols(self) -> tuple[str, ...]:
        return ("SASL_PLAINTEXT", "SSL", "SASL_SSL") if self.certificates else ("SASL_PLAINTEXT",)

    def properties(self) -> dict[str, str]:
        """Lines of server.properties."""
        login = "org.apache.kafka.common.security.{} required{};"
        lines = {"sasl.enabled.mechanisms": ",".join(("PLAIN", *SCRAM))}
        for name in self.protocols:
            if name.startswith("SASL"):
                plain = login.format("plain.PlainLoginModule", f' user_{self.user}="{self.password}"')
                lines[f"listener.name.{name.lower()}.plain.sasl.jaas.config"] = plain
                for mechanism in SCRAM:
                    lines[f"listener.name.{name.lower()}.{mechanism.lower()}.sasl.jaas.config"] = login.format("scram.ScramLoginModule", "")
        if self.certificates:
            lines |= {
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": f"{self.certificates}/broker.pem",
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": f"{self.certificates}/ca.crt",
                "listener.name.ssl.ssl.client.auth": "required",
            }
        return lines

    def known(self) -> list[str]:
        """Options of the formatting of a log in which the user is known."""
        return [word for name in SCRAM for word in ("--add-scram", f"{name}=[name={self.user},password={self.password}]")]


def certify(folder: Path) -> None:
    """Make an authority of our own (ca.crt), a broker of 127.0.0.1 (broker.pem) and a client (client.crt, client.key) that it knows.

    Raises
    ------
    NoKafka
        There is no openssl.
    """
    if shutil.which("openssl") is None:
        raise NoKafka("no `openssl` on the path to make certificates with")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=authority")
    for name in ("broker", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *signed)
    (folder / "broker.pem").write_text((folder / "broker.key").read_text() + (folder / "broker.crt").read_text())


class Kafka:
    """One broker in KRaft mode. It keeps its ports and its log over `kill`, `stop` and `start`.

    Parameters
    ----------
    properties
        More lines of server.properties, or other values for those that stand there already.
    heap
        The Java heap's limit.
    guarded
        With it there are listeners for those who prove who they are (`Guarded`); `addresses` has them by protocol.
    behind
        The port of a proxy: whoever comes by the listener at `addresses["BEHIND"]` is told to go on by that port.
    """

    def __init__(
        self, properties: dict[str, Any] | None = None, *, heap: str = "512m", guarded: Guarded | None = None, behind: int = 0
    ) -> None:
        self._jars = jars()
        self.folder = Path(tempfile.mkdtemp(prefix="nilometer-kafka-"))
        protocols = (*(guarded.protocols if guarded else ()), *(("BEHIND",) if behind else ()))
        self.port, controller, *others = free_ports(2 + len(protocols))
        self.address = f"127.0.0.1:{self.port}"
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in zip(protocols, others, strict=True)}
        self._heap = heap
        self._process: subprocess.Popen[bytes] | None = None
        more = {**(properties or {}), **(guarded.properties() if guarded else {})}
        text = PROPERTIES.format(
            port=self.port,
            controller=controller,
            folder=self.folder,
            listeners="".join(f",{name}://{address}" for name, address in self.addresses.items()),
            advertised="".join(
                f",{name}://{address if name != 'BEHIND' else f'127.0.0.1:{behind}'}" for name, address in self.addresses.items()
            ),
            more="\n".join(f"{name}={value}" for name, value in more.items()),
        )
        (self.folder / "server.properties").write_text(text)
        cluster = "n" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]  # with a dash in front it would be taken for an option
        known = guarded.known() if guarded else []
        self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties", *known).wait(60)

    @property
    def pid(self) -> int:
        """Of the running broker."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Kafka:
        """Start it and wait until it answers.

        Raises
        ------
        RuntimeError
            It ended, or did not answer in time; the message holds the end of its log.
        """
        self._process = self._java("kafka.Kafka", "server.properties")
        end = time.monotonic() + STARTS_WITHIN
        while not answers(self.port):
            if self._process.poll() is not None or time.monotonic() > end:
                log = (self.folder / "out").read_text()[-2000:]
                self.remove()
                raise RuntimeError(f"the broker did not come up: {log}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Shut it down in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would (its log is flushed by the operating system all the same)."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        """End it and forget all it holds."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def let_go(self) -> None:
        """Leave it running behind this process: somebody else ends it."""
        if self._process is not None:
            self._process.returncode = 0  # else Popen complains of a child that outlives it

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _java(self, *command: str) -> subprocess.Popen[bytes]:
        # One compiler tier and the serial collector start faster and leave more of a small machine to the tests.
        options = [f"-Xmx{self._heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        if os.environ.get("NILOMETER_TEST_KAFKA_JAVA"):
            options = os.environ["NILOMETER_TEST_KAFKA_JAVA"].split()
        with (self.folder / "out").open("ab") as out:
            return subprocess.Popen(
                ["java", *options, "-cp", f"{self._jars}/*", *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for the tests, which then stop it
            )

    def __enter__(self) -> Kafka:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.remove()


def free_ports(many: int) -> list[int]:
    """Ports that nobody listens on (and, a moment later, perhaps somebody)."""
    sockets = [socket.socket() for _ in range(many)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def answers(port: int) -> bool:
    """Whether a broker listens there and knows of a live broker (itself): asked by Kafka's own protocol (Metadata, version 1)."""
    request = struct.pack(">hhih4si", 3, 1, 1, 4, b"test", 0)  # no topics
    try:
        with closing(socket.create_connection(("127.0.0.1", port), timeout=2)) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            size = struct.unpack(">i", _exactly(connection, 4))[0]
            answer = _exactly(connection, size)
    except (OSError, EOFError):
        return False
    return bool(struct.unpack_from(">i", answer, 4)[0])  # after the correlation id: how many brokers


def _exactly(connection: socket.socket, many: int) -> bytes:
    data = b""
    while len(data) < many:
        piece = connection.recv(many - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
