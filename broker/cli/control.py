"""How kwire's own commands reach a running kwire: its HTTP door, and one of its clusters.

@click.command()
@control_options
@output_options
def faults(door: ControlDoor, output: Output) -> None:
    output.rows(door.get("faults")["rules"], [Column("id", "Rule")])
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote

import click
from attrs import define

from broker.cli.output import CommandError, NoBrokerError

R = TypeVar("R")

DEFAULT_HTTP: Final = "http://127.0.0.1:9380"
_HINT: Final = (
    "Start one with `kwire serve --http`, or name its URL with --http or KWIRE_HTTP. This command is "
    "kwire's own: other Kafkas have nothing like it."
)


@define
class ControlDoor:
    """The HTTP door of a kwire, and the cluster that is meant. Every failure is a CommandError."""

    url: str
    token: str | None
    cluster: str
    _client: Any = None

    @property
    def client(self) -> Any:
        """kwire.testing's ControlClient."""
        if self._client is None:
            from kwire.testing import ControlClient

            self._client = ControlClient(self.url, self.token)
        return self._client

    def path(self, *segments: str) -> str:
        """``/v1/clusters/NAME/...`` of the cluster; each segment is percent-encoded."""
        return "/".join(["/v1/clusters", quote(self.cluster, safe=""), *(quote(each, safe="") for each in segments)])

    def request(self, method: str, path: str, body: Any = None, query: Mapping[str, str | int] | None = None) -> Any:
        """The decoded answer of a path from the root (`/v1/...`)."""
        with self.explained():
            answer = self.client.request(method, path, body, query)
        if answer is not None and not isinstance(answer, dict):
            raise NoBrokerError(f"what answers at {self.url} is no kwire", hint=_HINT)
        return answer

    def get(self, *segments: str, query: Mapping[str, str | int] | None = None) -> Any:
        """GET below the cluster."""
        return self.request("GET", self.path(*segments), None, query)

    def post(self, *segments: str, body: Any = None) -> Any:
        """POST below the cluster."""
        return self.request("POST", self.path(*segments), body)

    def put(self, *segments: str, body: Any = None) -> Any:
        """PUT below the cluster."""
        return self.request("PUT", self.path(*segments), body)

    def delete(self, *segments: str, query: Mapping[str, str | int] | None = None) -> Any:
        """DELETE below the cluster."""
        return self.request("DELETE", self.path(*segments), None, query)

    def events(self, *segments: str, query: Mapping[str, str | int] | None = None) -> Iterator[Any]:
        """The events of a stream below the cluster, until it ends."""
        with self.explained():
            yield from self.client.events(self.path(*segments), query)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Failures of the client become CommandErrors that say what to do."""
        from kwire.testing import BrokerUnreachableError, ControlRequestError, KwireError

        try:
            yield
        except ControlRequestError as error:
            raise self._refused(error) from None
        except (BrokerUnreachableError, OSError) as error:
            raise NoBrokerError(str(error), hint=_HINT) from None
        except KwireError as error:
            raise CommandError(str(error)) from None

    def _refused(self, error: Any) -> CommandError:
        if error.status == 401:
            return CommandError(error.message, hint="Give the token with --token or KWIRE_HTTP_TOKEN.")
        if error.code == "http":
            return NoBrokerError(f"what answers at {self.url} is no kwire: {error.message[:200]}", hint=_HINT)
        if error.code == "unknown_path":
            return CommandError(f"{self.url} does not know this: {error.message}", hint="It may be an older kwire.")
        allowed = error.allowed
        hint = None
        if allowed:
            given = ", ".join(map(str, allowed)) if isinstance(allowed, (list, tuple)) else str(allowed)
            hint = f"Allowed: {given}"
        return CommandError(error.message, hint=hint)


def control_options(command: Callable[..., R]) -> Callable[..., R]:
    """Gives a command --http, --token and --cluster, and an argument `door`."""

    @click.option(
        "--http",
        "url",
        envvar="KWIRE_HTTP",
        default=DEFAULT_HTTP,
        show_default=True,
        metavar="URL",
        help="The HTTP door of a running kwire; or KWIRE_HTTP.",
    )
    @click.option("--token", envvar="KWIRE_HTTP_TOKEN", help="Its token, when it wants one; or KWIRE_HTTP_TOKEN.")
    @click.option(
        "--cluster",
        "cluster_name",
        envvar="KWIRE_CLUSTER",
        default="default",
        show_default=True,
        help="Which of its clusters; or KWIRE_CLUSTER.",
    )
    @functools.wraps(command)
    def with_door(*args: Any, url: str, token: str | None, cluster_name: str, **kwargs: Any) -> R:
        kwargs["door"] = ControlDoor(url if "://" in url else f"http://{url}", token, cluster_name)
        return command(*args, **kwargs)

    return with_door
