"""SASL and TLS: the settings translated once, for Faust, for aiokafka and for kafka-python."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from config.settings import Kafka
from streams.errors import UserError


def tls(kafka: Kafka) -> ssl.SSLContext | None:
    """What encrypts connections; None where they are not encrypted. Brokers are held against their certificates and names.

    Raises
    ------
    UserError
        A file is missing, or is no certificate or key.
    """
    if not kafka.security_protocol.endswith("SSL"):
        return None
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = getattr(kafka, name)
        if path and not Path(path).is_file():
            raise UserError(f"kafka.{name} = {path}: no such file")
    try:
        context = ssl.create_default_context(cafile=kafka.ssl_cafile or None)
    except ssl.SSLError as error:
        raise UserError(f"kafka.ssl_cafile = {kafka.ssl_cafile}: holds no certificate in PEM ({error.reason})") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if kafka.ssl_certfile:
        try:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile or None, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise UserError(f"kafka.ssl_certfile = {kafka.ssl_certfile}: no certificate with its key in PEM ({error})") from None
    return context


def credentials(kafka: Kafka) -> Any:
    """For Faust's `broker_credentials`; None for a plain connection."""
    from faust.auth import SASLCredentials, SSLCredentials

    context = tls(kafka)
    if kafka.security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=kafka.sasl_username, password=kafka.sasl_password, mechanism=kafka.sasl_mechanism, ssl_context=context
        )
    return None if context is None else SSLCredentials(context)


def client_options(kafka: Kafka) -> dict[str, Any]:
    """Keyword arguments of aiokafka's and of kafka-python's clients, which agree in these names; addresses included."""
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in kafka.bootstrap_servers.split(",")],
        "security_protocol": kafka.security_protocol,
    }
    context = tls(kafka)
    if context is not None:
        options["ssl_context"] = context
    if kafka.security_protocol.startswith("SASL"):
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username,
            "sasl_plain_password": kafka.sasl_password,
        }
    return options


def _no_password() -> str:
    """For a key that wants one: a worker cannot be asked, and OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted: store it decrypted, readable by this user only")
