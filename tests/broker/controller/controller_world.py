"""A controller without files: a log in memory, counted uuids, rules that know three keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from broker.controller.controller import Controller
from broker.controller.decisions.brokers import Registration
from broker.controller.image import Endpoint
from broker.controller.ports import ConfigEntry, ConfigResource
from broker.controller.records import Record, version_of
from broker.controller.settings import ControllerSettings, InternalTopic
from broker.deferred import Deferred, resolved, start
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.internal import decode_metadata_record, encode_metadata_record

NOW_MS = 1_700_000_000_000
CLUSTER_ID = "kIJ9Q0LzT2SgT6WmM8pOeA"
DIRECTORY = b"d" * 16
FEATURES = {"metadata.version": (7, 30), "eligible.leader.replicas.version": (0, 1), "group.version": (0, 1)}


class MemoryLog:
    """Batches as bytes, so that what is read back went through the codec. `hold`: commits wait for `release`."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[bytes]]] = []
        self.end_offset = 0
        self.epoch = 0
        self.hold = False
        self.waiting: list[tuple[int, Deferred[None]]] = []
        self.fail_appends = False

    @property
    def high_watermark(self) -> int:
        return self.waiting[0][0] - 1 if self.waiting else self.end_offset

    def read_all(self) -> Iterator[tuple[int, Record]]:
        for base, batch in self.batches:
            for offset, data in enumerate(batch, base):
                yield offset, decode_metadata_record(data)[0]

    def begin_epoch(self, now_ms: int) -> int:
        self.epoch += 1
        self.end_offset += 1
        return self.epoch

    def append(self, records: Sequence[Record], now_ms: int) -> int:
        if self.fail_appends:
            raise OSError("no space left")
        self.batches.append((self.end_offset, [encode_metadata_record(r, version_of(r)) for r in records]))
        self.end_offset += len(records)
        return self.end_offset

    def committed(self, offset: int) -> Deferred[None]:
        if not self.hold:
            return resolved(None)
        done: Deferred[None] = Deferred()
        self.waiting.append((offset, done))
        return done

    def release(self) -> None:
        self.hold = False
        waiting, self.waiting = self.waiting, []
        for _, done in waiting:
            done.resolve(None)

    def records(self) -> list[Record]:
        return [record for _, record in self.read_all()]


class FewRules:
    """retention.ms is a number, cleanup.policy a list, min.insync.replicas and compression.type anything."""

    DEFAULTS: Mapping[str, str] = {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "min.insync.replicas": "1",
        "retention.ms": "604800000",
        "unclean.leader.election.enable": "false",
    }

    def is_list(self, resource: ConfigResource, name: str) -> bool:
        return name == "cleanup.policy"

    def default_value(self, resource: ConfigResource, name: str) -> str | None:
        return self.DEFAULTS.get(name)

    def validate(self, resource: ConfigResource, configs: Mapping[str, str], existing: Mapping[str, str]) -> None:
        for name, value in configs.items():
            if name not in self.DEFAULTS:
                raise ApiError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
            if name == "retention.ms" and not value.lstrip("-").isdigit():
                raise ApiError(
                    ErrorCode.INVALID_CONFIG,
                    f"Invalid value {value} for configuration {name}: Not a number of type LONG",
                )

    def topic_entries(
        self, topic: Mapping[str, str], broker: Mapping[str, str], cluster: Mapping[str, str]
    ) -> Sequence[ConfigEntry]:
        return [
            ConfigEntry(name, topic.get(name, default), False, 1 if name in topic else 5, False)
            for name, default in self.DEFAULTS.items()
        ]


def settings(**changes: object) -> ControllerSettings:
    given: dict[str, object] = {
        "cluster_id": CLUSTER_ID,
        "node_id": 1,
        "bootstrap_features": {"metadata.version": 30, "eligible.leader.replicas.version": 1, "group.version": 1},
        "supported_features": FEATURES,
        "num_partitions": 4,
        "replication_factor": 1,
        "internal_topics": {
            "__consumer_offsets": InternalTopic(50, 1, {"cleanup.policy": "compact", "compression.type": "producer"})
        },
        "controller_endpoints": (Endpoint("CONTROLLER", "127.0.0.1", 9093),),
    }
    given.update(changes)
    return ControllerSettings(**given)  # type: ignore[arg-type]


def counted_uuids(first: int = 1000) -> Iterator[bytes]:
    return (number.to_bytes(16, "big") for number in count(first))


def registration(
    broker_id: int = 1, *, previous_epoch: int = -1, rack: str | None = None, directories: int = 1
) -> Registration:
    return Registration(
        broker_id=broker_id,
        incarnation_id=bytes([broker_id]) * 16,
        endpoints=(Endpoint("PLAINTEXT", "127.0.0.1", 9091 + broker_id),),
        features=FEATURES,
        directories=tuple(bytes([96 + broker_id, n]) * 8 for n in range(directories)),
        rack=rack,
        previous_epoch=previous_epoch,
    )


def make_controller(log: MemoryLog | None = None, **changes: object) -> tuple[Controller, MemoryLog]:
    """Not loaded, not registered."""
    log = log or MemoryLog()
    uuids = counted_uuids(1000 + log.end_offset * 1000)
    controller = Controller(
        settings(**changes),
        log,
        FewRules(),
        now_ms=lambda: NOW_MS,
        new_uuid=lambda: next(uuids),
        below=lambda _limit: 0,
    )
    return controller, log


def running(log: MemoryLog | None = None, nodes: int = 1, **changes: object) -> tuple[Controller, MemoryLog]:
    """Loaded, leading, with `nodes` brokers registered and unfenced."""
    controller, log = make_controller(log, **changes)
    controller.load()
    controller.become_leader()
    for node in range(1, nodes + 1):
        before = controller.image.brokers.get(node)
        controller.register_broker(registration(node, previous_epoch=before.epoch if before else -1))
    return controller, log


def run(coroutine):  # type: ignore[no-untyped-def]
    """The result of an operation that waits for nothing."""
    return start(coroutine).result()
