"""All that a broker serves of its directory, by requests alone: what must be the same after a move."""

from typing import Any

from attrs import evolve, field, frozen

from compat_tests.raw.batches import headers
from compat_tests.raw.groups import LOADING
from compat_tests.raw.wire import Wire, eventually
from kwire.records import read_records

Partition = tuple[str, int]
Row = tuple[int, bytes | None, bytes | None, int, tuple[tuple[str, bytes | None], ...]]

TOPIC, BROKER, CLIENT_METRICS, GROUP = 2, 4, 16, 32
# Sources of values that were set: on a topic, a broker, all brokers, client metrics, a group.
_SET = {1, 2, 3, 7, 8}


@frozen
class Census:
    """rows: (offset, key, value, timestamp, headers) of data records; controls: offsets of control records."""

    topics: dict[str, tuple[bytes, bool, int]]
    bounds: dict[Partition, tuple[int, int]]
    rows: dict[Partition, list[Row]]
    committed: dict[Partition, list[int]]
    controls: dict[Partition, list[int]]
    epochs: dict[Partition, int]
    configs: dict[tuple[int, str], dict[str, str | None]]
    offsets: dict[str, dict[Partition, tuple[int, int, str | None]]]
    quotas: list[Any]
    producers: dict[Partition, dict[int, tuple[int, int]]]
    scram: dict[str, list[tuple[int, int]]]
    compacted: frozenset[str] = field(factory=frozenset)


def take(wire: Wire, groups: list[str]) -> Census:
    """Every topic that is not internal, every record in it; every config; the offsets of `groups`."""
    described = wire.ask("Metadata", 12, topics=None, allow_auto_topic_creation=False).topics
    topics = {t.name: (bytes(t.topic_id), t.is_internal, len(t.partitions)) for t in described}
    partitions = [(t.name, p.partition_index) for t in described if not t.is_internal for p in t.partitions]
    configs = _configs(wire, sorted(topics), groups)
    compacted = frozenset(
        name for name in topics if "compact" in (configs.get((TOPIC, name), {}).get("cleanup.policy") or "")
    )
    rows: dict[Partition, list[Row]] = {}
    controls: dict[Partition, list[int]] = {}
    committed: dict[Partition, list[int]] = {}
    for name, index in partitions:
        rows[name, index], controls[name, index] = _rows(wire, name, index)
        committed[name, index] = _committed(wire, name, index)
    return Census(
        topics=topics,
        bounds={each: wire.start_and_end(*each) for each in partitions},
        rows=rows,
        committed=committed,
        controls=controls,
        epochs={(t.name, p.partition_index): p.leader_epoch for t in described for p in t.partitions},
        configs=configs,
        offsets={group: _offsets(wire, group) for group in groups},
        quotas=_quotas(wire),
        producers=_producers(wire, partitions),
        scram=_scram(wire),
        compacted=compacted,
    )


def differences(before: Census, after: Census, *, killed: bool) -> list[str]:
    """What the move changed, and must not have. A compacted topic may have lost records that have a later one.

    killed: the start of a log that DeleteRecords moved may be where it was before; both brokers note it once a minute.
    """
    found: list[str] = []
    if killed:
        after = _from_starts(before, after)

    def compare(what: str, old: Any, new: Any) -> None:
        if old != new:
            found.append(f"{what}: {old!r} became {new!r}")

    compare("topics", before.topics, after.topics)
    for each in before.bounds:
        compacted = each[0] in before.compacted
        compare(f"end of {each}", before.bounds[each][1], after.bounds.get(each, (0, None))[1])
        if not compacted:
            compare(f"start of {each}", before.bounds[each][0], after.bounds.get(each, (None, 0))[0])
        old, new = before.rows[each], after.rows.get(each, [])
        if compacted:
            compare(f"latest of each key in {each}", _latest(old), _latest(new))
            strange = [row for row in new if row not in old]
            if strange:
                found.append(f"{each}: records that were not there: {strange}")
        else:
            compare(f"records of {each}", old, new)
            compare(f"committed records of {each}", before.committed[each], after.committed.get(each))
            compare(f"control records of {each}", before.controls[each], after.controls.get(each))
        if after.epochs.get(each, -1) < before.epochs[each]:
            found.append(f"leader epoch of {each}: {before.epochs[each]} became {after.epochs.get(each)}")
    for resource in before.configs.keys() | after.configs.keys():
        compare(f"configs of {resource}", before.configs.get(resource), after.configs.get(resource))
    for group in before.offsets:
        compare(f"offsets of {group}", before.offsets[group], after.offsets.get(group))
    compare("quotas", before.quotas, after.quotas)
    compare("SCRAM credentials", before.scram, after.scram)
    for each in before.producers:
        compare(f"producers of {each}", before.producers[each], after.producers.get(each))
    return found


def _from_starts(before: Census, after: Census) -> Census:
    """`after` without what is below the starts of `before`."""
    starts = {each: bounds[0] for each, bounds in before.bounds.items() if each in after.bounds}

    def above(offsets: dict[Partition, list[int]]) -> dict[Partition, list[int]]:
        return {each: [offset for offset in offsets[each] if offset >= start] for each, start in starts.items()}

    return evolve(
        after,
        bounds={each: (max(start, after.bounds[each][0]), after.bounds[each][1]) for each, start in starts.items()},
        rows={each: [row for row in after.rows[each] if row[0] >= start] for each, start in starts.items()},
        committed=above(after.committed),
        controls=above(after.controls),
    )


def _latest(rows: list[Row]) -> dict[bytes | None, bytes | None]:
    latest = {key: value for _, key, value, _, _ in rows}
    return {key: value for key, value in latest.items() if value is not None}


def _fetched(wire: Wire, name: str, index: int, offset: int, isolation: int) -> Any:
    return eventually(
        lambda: wire.fetch(name, offset, partition=index, isolation_level=isolation),
        lambda got: got.error_code in (0, 1),
        f"Fetch {name}-{index}",
    )


def _rows(wire: Wire, name: str, index: int) -> tuple[list[Row], list[int]]:
    rows: list[Row] = []
    controls: list[int] = []
    offset, end = wire.start_and_end(name, index)
    while offset < end:
        data = bytes(_fetched(wire, name, index, offset, 0).records or b"")
        if not data:
            break
        position = 0
        for header in headers(data):
            assert header.crc_ok, f"{name}-{index} offset {header.base_offset}: its CRC is wrong"
            for record in read_records(data, position):
                if record.offset < offset:
                    continue
                if header.attributes & 0x20:
                    controls.append(record.offset)
                else:
                    rows.append((record.offset, record.key, record.value, record.timestamp, tuple(record.headers)))
            position += header.size
            offset = header.last_offset + 1
    return rows, controls


def _committed(wire: Wire, name: str, index: int) -> list[int]:
    """Offsets that a read_committed reader is given, aborted ones left out as clients do it."""
    found: list[int] = []
    start = offset = wire.start_and_end(name, index)[0]
    while True:
        got = _fetched(wire, name, index, offset, 1)
        data = bytes(got.records or b"")
        if not data:
            return found
        aborted = sorted((a.first_offset, a.producer_id) for a in got.aborted_transactions or ())
        ignored: set[int] = set()
        position = 0
        for header in headers(data):
            while aborted and aborted[0][0] <= header.last_offset:
                ignored.add(aborted.pop(0)[1])
            records = list(read_records(data, position))
            position += header.size
            offset = header.last_offset + 1
            if header.attributes & 0x20:
                ignored.discard(header.producer_id)
            elif not (header.attributes & 0x10 and header.producer_id in ignored):
                found += [record.offset for record in records if record.offset >= start]


def _configs(wire: Wire, topics: list[str], groups: list[str]) -> dict[tuple[int, str], dict[str, str | None]]:
    metrics = wire.ask("ListConfigResources", 1, resource_types=[CLIENT_METRICS]).config_resources
    wanted = [(TOPIC, name) for name in topics] + [(BROKER, ""), (BROKER, "1")]
    wanted += [(GROUP, group) for group in groups] + [(CLIENT_METRICS, each.resource_name) for each in metrics]
    resources = [{"resource_type": kind, "resource_name": name} for kind, name in wanted]
    answer = wire.ask("DescribeConfigs", 4, resources=resources, include_synonyms=False)
    found: dict[tuple[int, str], dict[str, str | None]] = {}
    for result in answer.results:
        assert result.error_code == 0, (result.resource_name, result.error_message)
        found[result.resource_type, result.resource_name] = {
            entry.name: entry.value for entry in result.configs if entry.config_source in _SET
        }
    return found


def _offsets(wire: Wire, group: str) -> dict[Partition, tuple[int, int, str | None]]:
    wire.ask("FindCoordinator", 3, key=group, key_type=0)
    # Not require_stable: a transaction may be open over the move.
    answer = eventually(
        lambda: wire.ask("OffsetFetch", 8, groups=[{"group_id": group, "topics": None}]).groups[0],
        lambda found: found.error_code not in LOADING,
        f"the offsets of {group}",
    )
    assert answer.error_code == 0, answer
    return {
        (topic.name, p.partition_index): (p.committed_offset, p.committed_leader_epoch, p.metadata)
        for topic in answer.topics
        for p in topic.partitions
    }


def _quotas(wire: Wire) -> list[Any]:
    answer = wire.ask("DescribeClientQuotas", 1, components=[], strict=False)
    assert answer.error_code == 0
    return sorted(
        (
            sorted((part.entity_type, part.entity_name or "") for part in entry.entity),
            sorted((value.key, value.value) for value in entry.values),
        )
        for entry in answer.entries or ()
    )


def _scram(wire: Wire) -> dict[str, list[tuple[int, int]]]:
    answer = wire.ask("DescribeUserScramCredentials", 0, users=None)
    assert answer.error_code == 0
    return {
        result.user: sorted((info.mechanism, info.iterations) for info in result.credential_infos)
        for result in answer.results
    }


def _producers(wire: Wire, partitions: list[Partition]) -> dict[Partition, dict[int, tuple[int, int]]]:
    topics: dict[str, list[int]] = {}
    for name, index in partitions:
        topics.setdefault(name, []).append(index)
    asked = [{"name": name, "partition_indexes": indexes} for name, indexes in topics.items()]
    answer = wire.ask("DescribeProducers", 0, topics=asked)
    return {
        (topic.name, partition.partition_index): {
            producer.producer_id: (producer.producer_epoch, producer.last_sequence)
            for producer in partition.active_producers
        }
        for topic in answer.topics
        for partition in topic.partitions
    }
