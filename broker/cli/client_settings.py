"""Settings of a client, as Kafka, librdkafka and rpk name them, into kafka-python's. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from broker.config.properties import parse_properties

# Names that differ by more than dots and underscores. librdkafka's, Java's (PEM files only), rpk's.
_ALIASES: Final[Mapping[str, str]] = {
    "brokers": "bootstrap_servers",
    "metadata_broker_list": "bootstrap_servers",
    "sasl_mechanisms": "sasl_mechanism",
    "sasl_username": "sasl_plain_username",
    "sasl_password": "sasl_plain_password",
    "user": "sasl_plain_username",
    "pass": "sasl_plain_password",
    "ssl_ca_location": "ssl_cafile",
    "ssl_truststore_location": "ssl_cafile",
    "tls_ca": "ssl_cafile",
    "ssl_certificate_location": "ssl_certfile",
    "ssl_keystore_location": "ssl_certfile",
    "tls_cert": "ssl_certfile",
    "ssl_key_location": "ssl_keyfile",
    "tls_key": "ssl_keyfile",
    "ssl_key_password": "ssl_password",
    "ssl_crl_location": "ssl_crlfile",
    "max_partition_fetch_bytes": "max_partition_fetch_bytes",
    "fetch_message_max_bytes": "max_partition_fetch_bytes",
    "queue_buffering_max_ms": "linger_ms",
    "compression_codec": "compression_type",
    "request_required_acks": "acks",
}
_JAAS: Final = re.compile(r"""\b(username|password)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s;]+))""")
_PASSWORD: Final = re.compile(r"pass|secret|jaas", re.IGNORECASE)
_TRUE: Final = frozenset({"true", "yes", "1", "on"})
_FALSE: Final = frozenset({"false", "no", "0", "off"})


class ClientSettingError(ValueError):
    """A setting that cannot be used: which, why, what to give instead."""


def client_settings(
    given: Mapping[str, str], known: Mapping[str, Any], elsewhere: Collection[str], *, strict: Collection[str] = ()
) -> dict[str, Any]:
    """kafka-python's settings. Raises ClientSettingError.

    given: names in any of the ways, values as text. known: this client's settings with their defaults; elsewhere: names
    that other clients have, passed over here. strict: of `given`, those which must be known somewhere (the others come
    from a file that Java programs read too).
    """
    found: dict[str, Any] = {}
    for name, text in given.items():
        key = name.strip().lower().replace(".", "_").replace("-", "_")
        key = _ALIASES.get(key, key)
        if key == "sasl_jaas_config":
            found.update(_of_jaas(text))
        elif key == "tls_enabled":
            if _boolean(name, text):
                found.setdefault("security_protocol", "SSL")
        elif key == "ssl_endpoint_identification_algorithm":
            found["ssl_check_hostname"] = text.strip().lower() not in ("", "none")
        elif key == "enable_ssl_certificate_verification":
            if not _boolean(name, text):
                found["ssl_context"] = _unverified()
        elif key in known:
            _check_pem(name, key, text)
            found[key] = _typed(name, text, known[key])
        elif key not in elsewhere and name in strict:
            near = difflib.get_close_matches(key, [*known, *_ALIASES], n=1)
            hint = f"; did you mean {near[0].replace('_', '.')}?" if near else ""
            raise ClientSettingError(f"no client setting is named {name!r}{hint}")
    _check_security(found)
    return found


def read_settings_file(text: str) -> dict[str, str]:
    """Of a file in Java's properties form (client.properties, kcat's)."""
    return dict(parse_properties(text))


def shown(settings: Mapping[str, str]) -> dict[str, str]:
    """For a message: secrets are not told."""
    return {name: "***" if _PASSWORD.search(name) else value for name, value in settings.items()}


def _typed(name: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        return _boolean(name, text)
    if isinstance(default, (int, float)):
        if text.strip().lower() == "all" and name.endswith("acks"):
            return -1
        try:
            return int(text)
        except ValueError:
            try:
                return float(text)
            except ValueError:
                raise ClientSettingError(f"{name} must be a number, not {text!r}") from None
    return text


def _boolean(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ClientSettingError(f"{name} must be true or false, not {text!r}")
    return word in _TRUE


def _of_jaas(text: str) -> dict[str, str]:
    found = {}
    for match in _JAAS.finditer(text):
        quoted = match[2] is not None
        value = re.sub(r"\\(.)", r"\1", match[2]) if quoted else match[3] or match[4] or ""
        found[f"sasl_plain_{match[1]}"] = value
    if len(found) != 2:
        raise ClientSettingError(
            "sasl.jaas.config must name username and password; other login modules are Java's. "
            "Or give sasl.username and sasl.password."
        )
    return found


def _check_pem(name: str, key: str, path: str) -> None:
    if key in ("ssl_cafile", "ssl_certfile") and path.lower().endswith(
        (".jks", ".p12", ".pfx", ".keystore", ".truststore")
    ):
        raise ClientSettingError(
            f"{name}: {path} is a keystore of Java's; give a PEM file (ssl.ca.location, ssl.certificate.location, "
            "ssl.key.location). `keytool -exportcert -rfc` writes one."
        )


def _check_security(found: Mapping[str, Any]) -> None:
    protocol = str(found.get("security_protocol", "PLAINTEXT")).upper()
    if protocol not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        raise ClientSettingError(
            f"security.protocol must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, not {protocol!r}"
        )
    if "sasl_plain_username" in found and not protocol.startswith("SASL"):
        raise ClientSettingError("a user is given but no security.protocol=SASL_SSL (or SASL_PLAINTEXT) to use it with")
    if "sasl_plain_username" in found and not found.get("sasl_mechanism"):
        raise ClientSettingError("a user is given but no sasl.mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")


def _unverified() -> Any:
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
