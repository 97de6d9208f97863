"""The door's handle of a broker: started here, or one that runs already."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from kwire.testing.cluster import Cluster
from kwire.testing.errors import BrokerUnreachableError
from kwire.testing.http import DEFAULT_TIMEOUT_S, ControlClient, segment
from kwire.testing.process import START_TIMEOUT_S, BrokerProcess
from kwire.testing.topic_specs import TopicsGiven, config_texts, topic_bodies

DEFAULT_CLUSTER: Final = "default"


class Broker:
    """A broker that hosts clusters. Use it with `with`, or `close` it.

    http: the control plane's client. url: where it listens.
    """

    def __init__(self, http: ControlClient, process: BrokerProcess | None = None) -> None:
        self.http = http
        self.url = http.url
        self._process = process

    def __repr__(self) -> str:
        return f"Broker({self.url!r})"

    @classmethod
    def start(
        cls,
        *,
        settings: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        log_level: str = "INFO",
        log_file: str | os.PathLike[str] | None = None,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> Self:
        """Start a broker in a process of its own, which ends when this process ends, however it ends.

        settings: Kafka's broker settings (`{"num.partitions": "6"}`). options: more of `kwire serve`'s command line.
        log_file: where its log goes; None: see `log_text`. Raises BrokerStartError.
        """
        process = BrokerProcess.start(
            settings=settings, options=options, log_level=log_level, log_file=log_file, timeout_s=start_timeout_s
        )
        return cls(ControlClient(process.url), process)

    @classmethod
    def connect(cls, url: str, token: str | None = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Self:
        """Use a broker that runs already. url: of its control plane, `http://127.0.0.1:9380`.

        Raises BrokerUnreachableError when nobody answers there.
        """
        http = ControlClient(url, token, timeout_s=timeout_s)
        about = http.request("GET", "/v1")
        if not isinstance(about, dict) or "clusters" not in about:
            raise BrokerUnreachableError(f"what answers at {http.url} is no kwire")
        return cls(http)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the broker when it was started here; close the connections."""
        self.http.close()
        if self._process is not None:
            self._process.stop()

    @property
    def pid(self) -> int | None:
        """The process's id; None when it was not started here."""
        return None if self._process is None else self._process.pid

    def death(self) -> str | None:
        """Of a broker that was started here and ended by itself: how, and the end of its log. None: it runs."""
        return None if self._process is None else self._process.death()

    def log_text(self) -> str:
        """The end of the log of a broker that was started here without a log file."""
        return "" if self._process is None else self._process.log_text()

    def create_cluster(
        self,
        *,
        name: str | None = None,
        nodes: int | None = None,
        racks: Sequence[str] | None = None,
        topics: TopicsGiven | None = None,
        groups: Mapping[str, Any] | None = None,
        configs: Mapping[str, Any] | None = None,
        as_version: str | None = None,
        seed: int | None = None,
        now_ms: int | None = None,
        **more: Any,
    ) -> Cluster:
        """Make a cluster of its own: listeners, topics, groups, data, clock and faults.

        name: None for one that is free. nodes: how many (1). racks: one for each node. topics: names; or
        `{"orders": 6}`; or `{"orders": {"partitions": 6, "configs": {"cleanup.policy": "compact"}}}`. groups: committed
        offsets to begin with, `{"billing": {"orders": {0: 5}}}`. configs: Kafka's broker settings. as_version: the
        Kafka to be like (`"2.8"`). seed: of all that is random. now_ms: the time its clock begins with. more: other
        fields of the request, as `POST /v1/clusters` takes them.

        Raises ControlRequestError.
        """
        body: dict[str, Any] = {
            "name": name,
            "nodes": nodes,
            "racks": None if racks is None else list(racks),
            "topics": None if topics is None else topic_bodies(topics),
            "groups": groups,
            "configs": None if configs is None else config_texts(configs),
            "as_version": as_version,
            "seed": seed,
            "now_ms": now_ms,
            **more,
        }
        answer = self.http.request(
            "POST", "/v1/clusters", {key: value for key, value in body.items() if value is not None}
        )
        return Cluster(self.http, answer["name"], answer)

    def import_cluster(self, path: str | os.PathLike[str], name: str | None = None) -> Cluster:
        """A new cluster with the data that `cluster.snapshots.export(path)` wrote. Raises ControlRequestError."""
        from kwire.testing.snapshots import import_cluster

        return import_cluster(self.http, path, name)

    def cluster_names(self) -> list[str]:
        """Names of the clusters that there are, `default` too."""
        names: list[str] = self.http.request("GET", "/v1")["clusters"]
        return names

    def cluster(self, name: str = DEFAULT_CLUSTER) -> Cluster:
        """The handle of a cluster that is there. Raises ControlRequestError when there is none of the name."""
        return Cluster(self.http, name, self.http.request("GET", f"/v1/clusters/{segment(name)}"))
