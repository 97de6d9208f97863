"""What the group coordinator costs:  python -m tests.broker.coordinator.measure

Microseconds of one request from decoded request to response, handlers included, sockets and codec not.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from broker.coordinator.shard import ShardStatus
from broker.deferred import start
from broker.handlers.groups.heartbeat import heartbeat
from broker.handlers.groups.offset_commit import offset_commit
from broker.handlers.groups.offset_fetch import offset_fetch
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.messages.heartbeat import HeartbeatRequest
from kwire.messages.offset_commit import OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics
from tests.broker.coordinator.group_world import World, value


def report(what: str, fn: Callable[[], object], times: int) -> None:
    for _ in range(times // 10 + 1):
        fn()
    best = float("inf")
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(times):
            fn()
        best = min(best, (time.perf_counter() - begin) / times)
    print(f"{what:45} {best * 1e6:10.2f} us")


def main() -> None:
    world = World(t=1000)
    (member,) = world.stable()
    context = world.context(ApiKey.HEARTBEAT, 4)
    beat = HeartbeatRequest(group_id="g", generation_id=1, member_id=member)
    report("Heartbeat", lambda: heartbeat(beat, context, world.coordinator), 20_000)
    for count in (1, 10, 100):
        measure_offsets(world, member, count)
    for members in (100, 1000):
        measure_rebalance(members)
    measure_loading()


def measure_offsets(world: World, member: str, count: int) -> None:
    log = world.log_of("g")
    topic = OffsetCommitRequestTopic(
        name="t",
        partitions=[OffsetCommitRequestPartition(partition_index=i, committed_offset=5) for i in range(count)],
    )
    request = OffsetCommitRequest(group_id="g", member_id=member, generation_id_or_member_epoch=1, topics=[topic])
    commit_context = world.context(ApiKey.OFFSET_COMMIT, 9)

    def commit() -> None:
        value(start(offset_commit(request, commit_context, world.coordinator)))
        log.batches.clear()

    report(f"OffsetCommit of {count} partitions", commit, 20_000 // count)
    data = codec.encode(request, 9)
    report(f"  its decoding ({len(data)} bytes)", lambda: codec.decode(OffsetCommitRequest, 9, data), 20_000 // count)
    wanted = OffsetFetchRequestTopics(name="t", partition_indexes=list(range(count)))
    fetch_request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id="g", topics=[wanted])])
    fetch_context = world.context(ApiKey.OFFSET_FETCH, 9)

    def fetch() -> None:
        value(start(offset_fetch(fetch_request, fetch_context, world.coordinator)))

    report(f"OffsetFetch of {count} partitions", fetch, 20_000 // count)


def measure_rebalance(members: int) -> None:
    begin = time.perf_counter()
    world = World()
    ids = world.stable(members=members)
    first = time.perf_counter()
    answers = [world.join(member=each) for each in ids]
    assert value(answers[0]).generation_id == 2
    rejoined = time.perf_counter()
    syncs = [world.sync(each, 2) for each in ids[1:]]
    value(world.sync(ids[0], 2, {each: each.encode() for each in ids}))
    assert value(syncs[-1]).assignment == ids[-1].encode()
    synced = time.perf_counter()
    print(
        f"{members} members: first generation {first - begin:.3f} s, all join again {rejoined - first:.3f} s, "
        f"all sync {synced - rejoined:.3f} s"
    )
    begin = time.perf_counter()
    world.restart()
    stored = sum(map(len, world.log_of("g").batches))
    print(f"  loading its {stored} bytes {time.perf_counter() - begin:.3f} s")


def measure_loading() -> None:
    world = World(t=100)
    for i in range(1000):
        world.commit({("t", j): i for j in range(100)})
    begin = time.perf_counter()
    world.restart()
    while world.shard_of("g").status is ShardStatus.LOADING:
        world.settle()
    print(f"loading 100,000 offset records {time.perf_counter() - begin:.3f} s")


if __name__ == "__main__":
    main()
