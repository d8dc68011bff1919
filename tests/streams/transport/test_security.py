"""SASL and TLS settings, as each client wants them."""

from __future__ import annotations

import ssl

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from config.load import defaults, replaced
from streams.errors import UserError
from streams.transport.security import client_options, credentials, tls


def kafka(**keys):
    return replaced(defaults(), kafka=keys).kafka


def test_a_plain_connection_needs_nothing():
    assert tls(kafka()) is None
    assert credentials(kafka()) is None
    assert client_options(kafka(bootstrap_servers="one:1, two:2")) == {
        "bootstrap_servers": ["one:1", "two:2"],
        "security_protocol": "PLAINTEXT",
    }


def test_tls_holds_brokers_against_their_certificates():
    context = tls(kafka(security_protocol="SSL"))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert isinstance(credentials(kafka(security_protocol="SSL")), SSLCredentials)
    options = client_options(kafka(security_protocol="SSL"))
    assert options["security_protocol"] == "SSL"
    assert isinstance(options["ssl_context"], ssl.SSLContext)


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_faust_and_the_plain_clients_are_told_the_same(protocol, mechanism):
    keys = {"security_protocol": protocol, "sasl_mechanism": mechanism, "sasl_username": "ann", "sasl_password": "secret"}
    given = credentials(kafka(**keys))
    assert isinstance(given, SASLCredentials)
    by_faust = {name: value for name, value in credentials_to_aiokafka_auth(given).items() if value is not None}
    ours = client_options(kafka(**keys))
    assert by_faust.keys() == ours.keys() - {"bootstrap_servers"}
    for name in by_faust.keys() - {"ssl_context"}:
        assert by_faust[name] == ours[name]
    assert ("ssl_context" in ours) == (protocol == "SASL_SSL")


def test_a_missing_or_damaged_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"kafka\.ssl_cafile = none\.pem: no such file"):
        tls(kafka(security_protocol="SSL", ssl_cafile="none.pem"))
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(UserError, match=r"kafka\.ssl_cafile = .*ca\.pem: holds no certificate in PEM"):
        tls(kafka(security_protocol="SSL", ssl_cafile=str(file)))
    with pytest.raises(UserError, match=r"kafka\.ssl_certfile = .*ca\.pem: no certificate with its key in PEM"):
        tls(kafka(security_protocol="SSL", ssl_certfile=str(file)))
