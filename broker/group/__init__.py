"""Classic groups and committed offsets, as pure state machines (Kafka: GroupMetadataManager, OffsetMetadataManager).

No clock, no event loop, no randomness of its own: operations take a `Decision` that carries the time, and put into it
the records to append, the answers to give once these are committed, and the timers to set.

    ids.py, records.py      hashing and ordering as Java does them; what is stored, as values
    record_codec.py         those values <-> the bytes of __consumer_offsets
    durable.py              the durable state: changed by `replay` only
    states.py, member.py, classic_group.py, state.py    the soft state: members in the middle of a rebalance
    rebalance.py, join.py, sync.py, heartbeat.py, leave.py, offsets.py, admin.py    the decisions
"""
