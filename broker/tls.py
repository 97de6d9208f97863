"""TLS contexts from a listener's settings: certificates and keys in PEM, given as files or in the settings themselves.

(Kafka: DefaultSslEngineFactory; KIP-651 for PEM)
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from typing import Final

from broker.config.broker_config import BrokerConfig
from broker.config.values import InvalidConfigError

_Get = Callable[[str], str | None]
_VERSIONS: Final = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_CLIENT_AUTH: Final = {"none": ssl.CERT_NONE, "requested": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def server_context(config: BrokerConfig, listener: str) -> ssl.SSLContext:
    """The context for one listener (`listener.name.NAME.ssl...` before `ssl...`).

    Raises InvalidConfigError, saying which setting is missing or unusable.
    """

    def get(name: str) -> str | None:
        value = config.for_listener(listener, name)
        return None if value is None else str(getattr(value, "value", value))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    versions = config.for_listener(listener, "ssl.enabled.protocols") or list(_VERSIONS)
    wanted = [_VERSIONS[version] for version in versions if version in _VERSIONS]
    if not wanted:
        raise InvalidConfigError("ssl.enabled.protocols", ",".join(versions), "TLSv1.2 and TLSv1.3 are there")
    context.minimum_version, context.maximum_version = min(wanted), max(wanted)
    _load_certificate(context, get)
    auth = get("ssl.client.auth") or "none"
    context.verify_mode = _CLIENT_AUTH[auth]
    if auth != "none":
        _load_trusted(context, get)
    suites = config.for_listener(listener, "ssl.cipher.suites")
    if suites:
        # TLS 1.3's suites are not chosen here; those of 1.2 go by OpenSSL's names or IANA's.
        with contextlib.suppress(ssl.SSLError):
            context.set_ciphers(":".join(suites))
    return context


def _load_certificate(context: ssl.SSLContext, get: _Get) -> None:
    store_type = (get("ssl.keystore.type") or "JKS").upper()
    if store_type != "PEM":
        raise InvalidConfigError("ssl.keystore.type", store_type, "kwire reads PEM only: set it to PEM")
    password = get("ssl.key.password")
    location = get("ssl.keystore.location")
    key, chain = get("ssl.keystore.key"), get("ssl.keystore.certificate.chain")
    try:
        if location is not None:
            context.load_cert_chain(location, password=password)
        elif key is not None and chain is not None:
            with _as_file(key + "\n" + chain) as path:
                context.load_cert_chain(path, password=password)
        else:
            raise InvalidConfigError(
                "ssl.keystore.location",
                "null",
                "a TLS listener needs a PEM file with its key and certificate chain here,"
                " or ssl.keystore.key and ssl.keystore.certificate.chain",
            )
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfigError(
            "ssl.keystore.location", location or "ssl.keystore.key", f"unusable: {error}"
        ) from None


def _load_trusted(context: ssl.SSLContext, get: _Get) -> None:
    store_type = (get("ssl.truststore.type") or "JKS").upper()
    location, inline = get("ssl.truststore.location"), get("ssl.truststore.certificates")
    try:
        if location is not None:
            if store_type != "PEM":
                raise InvalidConfigError("ssl.truststore.type", store_type, "kwire reads PEM only: set it to PEM")
            context.load_verify_locations(location)
        elif inline is not None:
            context.load_verify_locations(cadata=inline)
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfigError("ssl.truststore.location", location or "inline", f"unusable: {error}") from None


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    """OpenSSL's certificate chain loader takes files only."""
    fd, path = tempfile.mkstemp()
    try:
        os.write(fd, text.replace("\\n", "\n").encode())
        os.close(fd)
        yield path
    finally:
        os.unlink(path)
