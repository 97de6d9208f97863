"""How the commands for any Kafka reach it: -b, -X, --command-config, and kafka-python's clients made from them.

kafka-python is loaded when a client is made.
"""

from __future__ import annotations

import functools
import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click
from attrs import define

from broker.cli.output import CommandError, NoBrokerError

R = TypeVar("R")

DEFAULT_BOOTSTRAP: Final = "127.0.0.1:9092"
_DEFAULT_PORT: Final = "9092"
_CONNECT_TIMEOUT_S: Final = 3.0
_METADATA_BACKOFF_MS: Final = 5
# After the connection stands: versions, SASL, metadata.
_BOOTSTRAP_TIMEOUT_MS: Final = 10_000


@define
class Kafka:
    """A Kafka to talk to. given: settings of the client as text; strict: those of the command line."""

    servers: list[str]
    given: dict[str, str]
    strict: frozenset[str] = frozenset()

    @contextmanager
    def admin(self) -> Iterator[Any]:
        """A KafkaAdminClient. Errors in the block are CommandErrors too."""
        load_kafka_python()
        with self.explained():
            from kafka import KafkaAdminClient

            client = KafkaAdminClient(**self._settings(KafkaAdminClient.DEFAULT_CONFIG))
            try:
                yield client
            finally:
                client.close()

    @contextmanager
    def consumer(self, **overrides: Any) -> Iterator[Any]:
        """A KafkaConsumer that gives bytes."""
        load_kafka_python()
        with self.explained():
            from kafka import KafkaConsumer

            client = KafkaConsumer(**(self._settings(KafkaConsumer.DEFAULT_CONFIG) | overrides))
            _ask_again_soon(client)
            try:
                yield client
            finally:
                client.close(autocommit=False)

    @contextmanager
    def producer(self, **overrides: Any) -> Iterator[Any]:
        """A KafkaProducer that takes bytes. Settings of the command line go before the overrides."""
        load_kafka_python()
        with self.explained():
            from kafka import KafkaProducer

            client = KafkaProducer(**(overrides | self._settings(KafkaProducer.DEFAULT_CONFIG)))
            _ask_again_soon(client)
            try:
                yield client
            finally:
                client.close(timeout=_CONNECT_TIMEOUT_S)

    def _settings(self, known: Mapping[str, Any]) -> dict[str, Any]:
        from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

        from broker.cli.client_settings import ClientSettingError, client_settings

        elsewhere = {*KafkaAdminClient.DEFAULT_CONFIG, *KafkaConsumer.DEFAULT_CONFIG, *KafkaProducer.DEFAULT_CONFIG}
        given = dict(self.given)
        quiet = given.pop("debug", None) is None
        logger = logging.getLogger("kafka")
        logger.propagate = not quiet
        if quiet and not logger.handlers:
            logger.addHandler(logging.NullHandler())
        elif not quiet:
            logging.basicConfig(level=logging.DEBUG)
        try:
            found = client_settings(given, known, elsewhere, strict=self.strict)
        except ClientSettingError as error:
            raise click.UsageError(str(error)) from None
        found["bootstrap_servers"] = self.servers
        found.setdefault("bootstrap_timeout_ms", _BOOTSTRAP_TIMEOUT_MS)
        found.setdefault("client_id", "kwire")
        self._check_reachable()
        return found

    def _check_reachable(self) -> None:
        """A server that takes connections, or who is not there is said at once and not after the client's patience."""
        reasons = self.unreachable()
        if reasons is not None:
            raise NoBrokerError(f"no broker answers at {reasons}", hint=_HOW_TO_START)

    def unreachable(self) -> str | None:
        """None as soon as one of the servers takes a connection; else why each does not."""
        reasons = []
        for server in self.servers:
            host, _, port = server.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S).close()
            except OSError as error:
                reasons.append(f"{server}: {error.strerror or error}")
            else:
                return None
        return ", ".join(reasons)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """kafka-python's errors become CommandErrors that say what to do."""
        try:
            yield
        except Exception as error:
            told = _told(error, self)
            if told is None:
                raise
            raise told from None


def _ask_again_soon(client: Any) -> None:
    """Let metadata of a topic be asked for at once.

    kafka-python does it 100 ms after the bootstrap at the earliest, whatever retry_backoff_ms says: long for one
    record. Where a later version looks different inside, that is what it takes.
    """
    for inner in ("_metadata", "_manager", "_client"):
        found = getattr(client, inner, None)
        config = getattr(getattr(found, "cluster", found), "config", None)
        if isinstance(config, dict) and "metadata_max_age_ms" in config and "retry_backoff_ms" in config:
            config["retry_backoff_ms"] = _METADATA_BACKOFF_MS


def load_kafka_python() -> None:
    """Import it. It reads its schemas in a way that Python warns of, which nobody here can change."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import kafka  # noqa: F401

    from broker.cli.codecs import complete_codecs

    complete_codecs()


_HOW_TO_START: Final = "Start one with `kwire serve`, or name another with -b HOST:PORT or KWIRE_BOOTSTRAP."


def _told(error: Exception, kafka: Kafka) -> CommandError | None:
    """None for what is not kafka-python's."""
    from kafka import errors

    if not isinstance(error, errors.KafkaError):
        return None
    servers = ", ".join(kafka.servers)
    lost = isinstance(error, (errors.KafkaTimeoutError, errors.KafkaConnectionError, errors.NodeNotReadyError))
    if lost and "bootstrap" not in str(error):
        return NoBrokerError(f"{servers} does not answer any more: {error}")
    if lost:
        secure = "security.protocol" in " ".join(kafka.given).replace("_", ".")
        hint = (
            "Check security.protocol and the certificates: the broker may want others."
            if secure
            else "If it wants TLS or SASL: -X security.protocol=SASL_SSL -X sasl.mechanism=PLAIN -X sasl.username=... "
        )
        return NoBrokerError(f"{servers} takes connections but does not answer as a Kafka does: {error}", hint=hint)
    if isinstance(error, (errors.SaslAuthenticationFailedError, errors.UnsupportedSaslMechanismError)):
        return CommandError(
            f"{servers} refuses the credentials: {error}", hint="Check sasl.username and sasl.password."
        )
    if isinstance(error, (errors.IncompatibleBrokerVersion, errors.UnsupportedVersionError)):
        return CommandError(f"{servers} does not know this: {error}")
    if isinstance(error, errors.KafkaConfigurationError):
        return CommandError(str(error))
    if isinstance(error, errors.BrokerResponseError):
        return CommandError(f"refused: {reason(error.errno, _message(error))}")
    return CommandError(f"{type(error).__name__}: {error}")


def _message(error: Any) -> str | None:
    """What the broker said: kafka-python's own texts quote whole requests."""
    text = ", ".join(str(each) for each in error.args)
    return None if "failed with response" in text or "Request '" in text else text or None


def reason(code: int, message: str | None = None) -> str:
    """``TOPIC_ALREADY_EXISTS: Topic 'a' already exists.`` of a code and the broker's message."""
    from kwire.error_codes import ErrorCode

    try:
        name = ErrorCode(code).name
    except ValueError:
        name = f"error {code}"
    return f"{name}: {message}" if message else name


def servers_of(text: str) -> list[str]:
    """``a:1,b`` -> each with a port. Raises click.BadParameter."""
    servers = []
    for entry in filter(None, (each.strip() for each in text.split(","))):
        address = entry.partition("://")[2] or entry
        host, colon, port = address.rpartition(":")
        if not colon or address.endswith("]"):
            host, port = address, _DEFAULT_PORT
        if not host or not port.isdigit() or not 0 < int(port) < 65536 or (":" in host and not host.startswith("[")):
            raise click.BadParameter(f"{entry!r} must be HOST:PORT, an IPv6 address in brackets")
        servers.append(f"{host}:{port}")
    if not servers:
        raise click.BadParameter("must name a broker, for example 127.0.0.1:9092")
    return servers


def kafka_options(command: Callable[..., R]) -> Callable[..., R]:
    """Gives a command -b, -X and --command-config, and an argument `kafka`."""

    @click.option(
        "-b",
        "--bootstrap-server",
        "--brokers",
        "bootstrap",
        metavar="HOST:PORT",
        help=f"Where the Kafka is; several with commas. Or KWIRE_BOOTSTRAP.  [default: {DEFAULT_BOOTSTRAP}]",
    )
    @click.option(
        "-X",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="A client setting, as Kafka or librdkafka names it, for example security.protocol=SSL. debug=all: "
        "what the client does.",
    )
    @click.option(
        "--command-config",
        "-F",
        "settings_file",
        type=click.Path(exists=True, dir_okay=False),
        envvar="KWIRE_CLIENT_CONFIG",
        help="A file with client settings (client.properties).",
    )
    @functools.wraps(command)
    def with_kafka(
        *args: Any, bootstrap: str | None, settings: tuple[str, ...], settings_file: str | None, **kwargs: Any
    ) -> R:
        kwargs["kafka"] = kafka_of(bootstrap, settings, settings_file)
        return command(*args, **kwargs)

    return with_kafka


def kafka_of(bootstrap: str | None, settings: tuple[str, ...] = (), settings_file: str | None = None) -> Kafka:
    """What the options mean. Raises click.UsageError."""
    given: dict[str, str] = {}
    if settings_file is not None:
        from broker.cli.client_settings import read_settings_file

        try:
            with open(settings_file, encoding="utf-8") as file:
                given = read_settings_file(file.read())
        except (OSError, ValueError) as error:
            raise click.UsageError(f"{settings_file}: {error}") from None
    strict = {}
    for text in settings:
        key, separator, value = text.partition("=")
        if not separator or not key.strip():
            raise click.BadParameter(f"{text!r} must be KEY=VALUE, for example security.protocol=SSL", param_hint="-X")
        strict[key.strip()] = value
    given |= strict
    named = next(
        (given.pop(key) for key in ("bootstrap.servers", "metadata.broker.list", "brokers") if key in given), ""
    )
    # What is said on the command line goes before the file, that before the environment.
    if bootstrap is None:
        bootstrap = named or os.environ.get("KWIRE_BOOTSTRAP") or DEFAULT_BOOTSTRAP
    return Kafka(servers_of(bootstrap), given, frozenset(strict))
