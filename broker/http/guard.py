"""Who may ask: the Host and Origin headers, and the token.

A web page the user visits can make the browser send requests to loopback. What it cannot do is choose the Host header
(other than by a name of its own that it lets resolve to 127.0.0.1: DNS rebinding) or leave out Origin.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Final

from attrs import frozen

from broker.http.endpoint import ControlError
from broker.http.hosts import is_loopback

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:@/\[\]]+)(?::\d*)?")


@frozen
class Guard:
    """host: what the server was told to listen on. token: None when none is asked for."""

    host: str
    token: str | None = None

    def check(self, headers: Mapping[str, str], *, open_to_all: bool) -> None:
        """Raises ControlError: 403 for a foreign Host or Origin, 401 without the token."""
        host = headers.get("host")
        origin = headers.get("origin")
        # Whoever has the token is no page that rebinds a name, and may reach us by any name (a container's).
        if host is not None and self.token is None and not self._is_ours(host):
            raise ControlError(
                403,
                "foreign_host",
                f"the Host header names {_shown(host)}, which is not this server",
                allowed=sorted({"localhost", "127.0.0.1", "[::1]", self.host} - {""}),
            )
        if origin is not None and (host is None or origin.lower() != f"http://{host.lower()}"):
            raise ControlError(
                403, "foreign_origin", f"requests of pages of another origin are refused ({_shown(origin)})"
            )
        if self.token is not None and not open_to_all:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            matches = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode())
            if scheme.lower() != "bearer" or not matches:
                raise ControlError(
                    401,
                    "unauthorized",
                    "this server wants its token: Authorization: Bearer TOKEN, with the one given by --http-token",
                    headers=[("www-authenticate", 'Bearer realm="kwire"')],
                )

    def _is_ours(self, host_header: str) -> bool:
        match = _HOST.fullmatch(host_header.lower())
        return match is not None and (is_loopback(match[1]) or match[1].strip("[]") == self.host.strip("[]").lower())


def _shown(text: str) -> str:
    return ascii(text[:100])
