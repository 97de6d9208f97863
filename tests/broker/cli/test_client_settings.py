"""Settings of a client by the names of Kafka, librdkafka and rpk; servers."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import click
import pytest

from broker.cli.client import Kafka, kafka_of, servers_of
from broker.cli.client_settings import ClientSettingError, client_settings, shown

KNOWN = {
    "bootstrap_servers": "localhost",
    "security_protocol": "PLAINTEXT",
    "sasl_mechanism": None,
    "sasl_plain_username": None,
    "sasl_plain_password": None,
    "ssl_cafile": None,
    "ssl_certfile": None,
    "ssl_keyfile": None,
    "ssl_password": None,
    "ssl_check_hostname": True,
    "ssl_context": None,
    "request_timeout_ms": 30_000,
    "acks": -1,
    "retries": float("inf"),
}


def settings(**given: str) -> dict[str, Any]:
    return client_settings({name.replace("_", "."): value for name, value in given.items()}, KNOWN, ())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"request_timeout_ms": "5"}, {"request_timeout_ms": 5}),
        ({"acks": "all"}, {"acks": -1}),
        ({"ssl_ca_location": "/ca.pem"}, {"ssl_cafile": "/ca.pem"}),
        ({"ssl_endpoint_identification_algorithm": ""}, {"ssl_check_hostname": False}),
        ({"ssl_endpoint_identification_algorithm": "https"}, {"ssl_check_hostname": True}),
        ({"tls_enabled": "true"}, {"security_protocol": "SSL"}),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanisms": "PLAIN", "sasl_username": "u", "sasl_password": "p"},
            {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": "u",
                "sasl_plain_password": "p",
            },
        ),
        (
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-256",
                "sasl_jaas_config": 'org.apache.ScramLoginModule required username="u" password="a\\"b c";',
            },
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "SCRAM-SHA-256",
                "sasl_plain_username": "u",
                "sasl_plain_password": 'a"b c',
            },
        ),
        # Of a file that Java programs read too.
        ({"key_deserializer": "org.apache.kafka.X"}, {}),
    ],
)  # fmt: skip
def test_names(given: dict[str, str], expected: dict[str, Any]) -> None:
    assert settings(**given) == expected


def test_certificates_need_not_be_checked() -> None:
    found = settings(enable_ssl_certificate_verification="false")
    assert found["ssl_context"].verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"request_timeout_ms": "soon"}, "request.timeout.ms must be a number, not 'soon'"),
        ({"ssl_check_hostname": "maybe"}, "must be true or false, not 'maybe'"),
        ({"security_protocol": "TLS"}, "security.protocol must be PLAINTEXT, SSL"),
        ({"sasl_username": "u"}, "no security.protocol=SASL_SSL"),
        ({"sasl_username": "u", "security_protocol": "SASL_SSL"}, "no sasl.mechanism"),
        ({"ssl_truststore_location": "/a/trust.jks"}, "is a keystore of Java's; give a PEM file"),
        ({"sasl_jaas_config": "com.sun.Krb5LoginModule required;"}, "must name username and password"),
    ],
)
def test_mistakes(given: dict[str, str], said: str) -> None:
    with pytest.raises(ClientSettingError) as caught:
        settings(**given)
    assert said in str(caught.value)


def test_names_of_the_command_line_must_be_known() -> None:
    with pytest.raises(ClientSettingError, match=r"did you mean request\.timeout\.ms\?"):
        client_settings({"request.timeuot.ms": "1"}, KNOWN, (), strict={"request.timeuot.ms"})
    assert client_settings({"linger.ms": "1"}, KNOWN, {"linger_ms"}, strict={"linger.ms"}) == {}


def test_secrets_are_not_shown() -> None:
    assert shown({"sasl.password": "x", "user": "u"}) == {"sasl.password": "***", "user": "u"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ["a:9092"]),
        ("a:1, b ,", ["a:1", "b:9092"]),
        ("[::1]:5", ["[::1]:5"]),
        ("[::1]", ["[::1]:9092"]),
        ("PLAINTEXT://a:1", ["a:1"]),
    ],
)
def test_servers(text: str, expected: list[str]) -> None:
    assert servers_of(text) == expected


@pytest.mark.parametrize("text", ["", ",", "a:", "a:x", "a:0", "a:99999", ":1", "::1:5"])
def test_what_is_no_server(text: str) -> None:
    with pytest.raises(click.BadParameter):
        servers_of(text)


def test_where_settings_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "client.properties"
    file.write_text("bootstrap.servers=file:1\nclient.id=f\nacks=1\n")
    monkeypatch.setenv("KWIRE_BOOTSTRAP", "environment:1")
    assert kafka_of(None).servers == ["environment:1"]
    assert kafka_of(None, (), str(file)) == Kafka(["file:1"], {"client.id": "f", "acks": "1"})
    given = kafka_of("flag:1", ("acks=all",), str(file))
    assert given == Kafka(["flag:1"], {"client.id": "f", "acks": "all"}, frozenset({"acks"}))
    monkeypatch.delenv("KWIRE_BOOTSTRAP")
    assert kafka_of(None).servers == ["127.0.0.1:9092"]
    file.write_text("x=\\u00zz\n")
    with pytest.raises(click.UsageError, match="line 1"):
        kafka_of(None, (), str(file))
