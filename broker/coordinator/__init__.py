"""The shard runtime: append what a state machine decides, replay it, answer once it is committed.

ports.py         what the runtime needs of storage, topics and time
shard.py         one partition of `__consumer_offsets` and the groups in it
loading.py       reading a partition back, a slice at a time
coordinator.py   GroupCoordinator: one operation per API, over all shards
"""
