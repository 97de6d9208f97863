"""StopReplica (API 5). Removed in Kafka 4.0; versions 0-4 are those of 3.9, flexible from 2.

Request v1 adds name, partition_indexes, broker_epoch, topics; drops topic_name, partition_index,
   ungrouped_partitions.
Request v3 adds partition_index, leader_epoch, delete_partition, topic_name, partition_states, topic_states; drops
   name, partition_indexes, delete_partitions, topics.
Request v4 adds is_kraft_controller.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, boolean, int16, int32, int64, message, string


class StopReplicaPartitionV0(Struct):
    topic_name: str = string("0")
    partition_index: int = int32("0")


class StopReplicaTopicV1(Struct):
    name: str = string("1-2")
    partition_indexes: list[int] = array(int32, "1-2")


class StopReplicaPartitionState(Struct):
    partition_index: int = int32("3-4")
    leader_epoch: int = int32("3-4", default=-1)
    delete_partition: bool = boolean("3-4")


class StopReplicaTopicState(Struct):
    topic_name: str = string("3-4")
    partition_states: list[StopReplicaPartitionState] = array(StopReplicaPartitionState, "3-4")


@message(ApiKey.STOP_REPLICA, versions="none", flexible="2+", removed="0-4")
class StopReplicaRequest(Struct):
    controller_id: int = int32("0-4")
    is_kraft_controller: bool = boolean("4")
    controller_epoch: int = int32("0-4")
    broker_epoch: int = int64("1-4", default=-1, ignorable=True)
    delete_partitions: bool = boolean("0-2")
    ungrouped_partitions: list[StopReplicaPartitionV0] = array(StopReplicaPartitionV0, "0")
    topics: list[StopReplicaTopicV1] = array(StopReplicaTopicV1, "1-2")
    topic_states: list[StopReplicaTopicState] = array(StopReplicaTopicState, "3-4")


class StopReplicaPartitionError(Struct):
    topic_name: str = string("0-4")
    partition_index: int = int32("0-4")
    error_code: int = int16("0-4")


@message(ApiKey.STOP_REPLICA, versions="none", flexible="2+", removed="0-4")
class StopReplicaResponse(Struct):
    error_code: int = int16("0-4")
    partition_errors: list[StopReplicaPartitionError] = array(StopReplicaPartitionError, "0-4")
