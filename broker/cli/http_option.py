"""`--http` and `--http-token` of `kwire serve`: where the control plane listens, and what it asks for."""

from __future__ import annotations

from typing import Final

from broker.config.sources import SettingsError
from broker.http.door import HttpSettings
from broker.http.hosts import is_loopback

DEFAULT_PORT: Final = 9380
_LEAST_TOKEN: Final = 8


def http_settings(text: str, token: str | None) -> HttpSettings:
    """text: `[HOST:]PORT`, or nothing for the default. Raises SettingsError."""
    host, _, port_text = text.rpartition(":")
    if "]" in port_text or (text and not port_text):
        host, port_text = text.rstrip(":"), ""
    host = host.removeprefix("[").removesuffix("]") if host else "" if text.startswith(":") else "127.0.0.1"
    port_text = port_text or str(DEFAULT_PORT)
    if not port_text.isascii() or not port_text.isdecimal() or int(port_text) > 65535:
        raise SettingsError(f"--http {text}: give a port, or HOST:PORT; 0 takes any free port")
    if token is not None and (len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise SettingsError(f"--http-token: at least {_LEAST_TOKEN} printable ASCII characters")
    if token is None and not is_loopback(host):
        raise SettingsError(
            f"--http {text}: others than this machine could drive the broker there; "
            "give --http-token TOKEN (or KWIRE_HTTP_TOKEN), or listen on 127.0.0.1"
        )
    return HttpSettings(host, int(port_text), token)
