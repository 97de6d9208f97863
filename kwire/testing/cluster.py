"""The door's handle of one cluster."""

from __future__ import annotations

import importlib
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from kwire.testing.errors import ControlRequestError, KwireError
from kwire.testing.http import ControlClient, segment


class Cluster:
    """A cluster of a broker. Use it with `with`, or `delete` it.

    name: its name. path: `/v1/clusters/NAME`, the name percent-encoded. http: the control plane's client.
    description: what the broker said of it when this handle was made.
    """

    def __init__(self, http: ControlClient, name: str, description: dict[str, Any]) -> None:
        self.http = http
        self.name = name
        self.path = f"/v1/clusters/{segment(name)}"
        self.description = description

    def __repr__(self) -> str:
        return f"Cluster({self.name!r}, {self.bootstrap_servers!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.delete(missing_ok=True)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port,...` for Kafka's clients."""
        servers = self.description["bootstrap_servers"]
        return servers if isinstance(servers, str) else ",".join(servers)

    def delete(self, *, missing_ok: bool = False) -> None:
        """Delete the cluster: its connections are closed, its data is gone. Raises ControlRequestError."""
        try:
            self.http.request("DELETE", self.path)
        except ControlRequestError as error:
            if not (missing_ok and error.status == 404):
                raise

    # One class for each feature, made when it is first asked for.

    @cached_property
    def topics(self) -> Any:
        """Topics and their records."""
        return self._door("topics", "Topics")

    @cached_property
    def nodes(self) -> Any:
        """Simulated nodes: stop, start, isolate."""
        return self._door("nodes", "Nodes")

    @cached_property
    def faults(self) -> Any:
        """Fault rules."""
        return self._door("faults", "Faults")

    @cached_property
    def clock(self) -> Any:
        """The cluster's time."""
        return self._door("clock", "Clock")

    @cached_property
    def groups(self) -> Any:
        """Consumer groups: states, lag, control."""
        return self._door("groups", "Groups")

    @cached_property
    def transcript(self) -> Any:
        """Requests and answers, decoded."""
        return self._door("transcript", "Transcript")

    @cached_property
    def snapshots(self) -> Any:
        """Snapshots, forks, restore."""
        return self._door("snapshots", "Snapshots")

    def _door(self, module: str, name: str) -> Any:
        try:
            made = importlib.import_module(f"kwire.testing.{module}")
        except ModuleNotFoundError as error:
            if error.name != f"kwire.testing.{module}":
                raise
            raise KwireError(f"this version of kwire has no {module} in its Python door") from None
        return getattr(made, name)(self)
