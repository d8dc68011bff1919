"""A schema registry, as Confluent's, Apicurio's and Redpanda's answer: schemas by their number, asked for once.

A schema never changes under its number, so what has been fetched is kept for ever. One that the registry does not know is asked for
again with the next chunk.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from config.settings import Kafka
from streams.errors import UserError

TIMEOUT_SECONDS = 10.0
LARGEST_ANSWER = 10_000_000  # bytes
DEEPEST = 20  # references of references


class Unanswered(Exception):
    """The registry cannot be asked now, or lets us not in; it may later."""


class NoSchema(Exception):
    """There is no Avro schema of that number; the message says so."""


class Registry:
    """Avro schemas by number, as fastavro wants them."""

    def __init__(self, kafka: Kafka) -> None:
        self._url = kafka.schema_registry_url.rstrip("/")
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}
        if kafka.schema_registry_login:
            login = base64.b64encode(kafka.schema_registry_login.encode()).decode()
            self._headers["Authorization"] = f"Basic {login}"
        self._tls = ssl.create_default_context(cafile=kafka.ssl_cafile or None) if self._url.startswith("https:") else None
        self._known: dict[int, Any] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._known

    def schema(self, number: int) -> Any:
        """The schema of a number, fetched if it is not known yet.

        Raises
        ------
        NoSchema
            The registry has none, or one that cannot be read.
        Unanswered
            It does not answer.
        """
        if number not in self._known:
            self._known[number] = self._parsed(number)
        return self._known[number]

    def _parsed(self, number: int) -> Any:
        avro = _fastavro_schema()
        wrong = (KeyError, TypeError, ValueError, RecursionError, avro.SchemaParseException, avro.UnknownType)
        told = self._get(f"/schemas/ids/{number}")
        if told is None:
            raise NoSchema(f"the schema registry knows no schema {number}")
        if told.get("schemaType", "AVRO") != "AVRO":
            raise NoSchema(f"schema {number} is {told['schemaType']}: wanted AVRO")
        try:
            names: dict[str, Any] = {}
            self._load_references(told, names, DEEPEST)
            return avro.parse_schema(json.loads(told["schema"]), names)
        except wrong as problem:
            raise NoSchema(f"schema {number} cannot be read ({type(problem).__name__}: {problem})") from problem

    def _load_references(self, told: Any, names: dict[str, Any], depth: int) -> None:
        for reference in told.get("references") or ():
            if depth == 0:
                raise ValueError("references of references without end")
            subject = urllib.parse.quote(reference["subject"], safe="")
            referred = self._get(f"/subjects/{subject}/versions/{int(reference['version'])}")
            if referred is None:
                raise ValueError(f"its reference {reference['subject']} is missing")
            self._load_references(referred, names, depth - 1)
            _fastavro_schema().parse_schema(json.loads(referred["schema"]), names)

    def _get(self, path: str) -> Any:
        """What the registry says, None where it knows no such thing."""
        request = urllib.request.Request(self._url + path, headers=self._headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=self._tls) as answer:
                told = json.loads(answer.read(LARGEST_ANSWER))
        except urllib.error.HTTPError as problem:
            with problem:
                if problem.code == 404:
                    return None
            raise Unanswered(f"the schema registry at {self._url} answers {problem.code} {problem.reason}") from problem
        except (OSError, ValueError) as problem:
            raise Unanswered(f"the schema registry at {self._url} does not answer ({problem})") from problem
        if not isinstance(told, dict):
            raise Unanswered(f"the schema registry at {self._url} answers with something else than an object")
        return told


def _fastavro_schema() -> Any:
    """Load fastavro's module of schemas.

    Raises
    ------
    UserError
        It is not installed.
    """
    try:
        import fastavro.schema
    except ImportError:
        raise UserError("kafka.value_format = \"avro\" needs fastavro: pip install 'nilometer[avro]'") from None
    return fastavro.schema
