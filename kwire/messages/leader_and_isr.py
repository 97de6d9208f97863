"""LeaderAndIsr (API 4). Removed in Kafka 4.0; versions 0-7 are those of 3.9, flexible from 4.

Request v1 adds is_new.
Request v2 adds topic_name, partition_states, broker_epoch, topic_states; drops topic_name,
   ungrouped_partition_states.
Request v3 adds adding_replicas, removing_replicas.
Request v5 adds topic_id, type.
Request v6 adds leader_recovery_state.
Request v7 adds is_kraft_controller.
Response v5 adds topic_id, partition_errors, topics; drops topic_name, partition_errors.
"""

from kwire.api_keys import ApiKey
from kwire.schema import Struct, array, boolean, int8, int16, int32, int64, message, string, uuid


class LeaderAndIsrPartitionState(Struct):
    topic_name: str = string("0-1", ignorable=True)
    partition_index: int = int32("0-7")
    controller_epoch: int = int32("0-7")
    leader: int = int32("0-7")
    leader_epoch: int = int32("0-7")
    isr: list[int] = array(int32, "0-7")
    partition_epoch: int = int32("0-7")
    replicas: list[int] = array(int32, "0-7")
    adding_replicas: list[int] = array(int32, "3-7", ignorable=True)
    removing_replicas: list[int] = array(int32, "3-7", ignorable=True)
    is_new: bool = boolean("1-7", ignorable=True)
    leader_recovery_state: int = int8("6-7")


class LeaderAndIsrTopicState(Struct):
    topic_name: str = string("2-7")
    topic_id: bytes = uuid("5-7", ignorable=True)
    partition_states: list[LeaderAndIsrPartitionState] = array(LeaderAndIsrPartitionState, "2-7")


class LeaderAndIsrLiveLeader(Struct):
    broker_id: int = int32("0-7")
    host_name: str = string("0-7")
    port: int = int32("0-7")


@message(ApiKey.LEADER_AND_ISR, versions="none", flexible="4+", removed="0-7")
class LeaderAndIsrRequest(Struct):
    controller_id: int = int32("0-7")
    is_kraft_controller: bool = boolean("7")
    controller_epoch: int = int32("0-7")
    broker_epoch: int = int64("2-7", default=-1, ignorable=True)
    type: int = int8("5-7")
    ungrouped_partition_states: list[LeaderAndIsrPartitionState] = array(LeaderAndIsrPartitionState, "0-1")
    topic_states: list[LeaderAndIsrTopicState] = array(LeaderAndIsrTopicState, "2-7")
    live_leaders: list[LeaderAndIsrLiveLeader] = array(LeaderAndIsrLiveLeader, "0-7")


class LeaderAndIsrPartitionError(Struct):
    topic_name: str = string("0-4", ignorable=True)
    partition_index: int = int32("0-7")
    error_code: int = int16("0-7")


class LeaderAndIsrTopicError(Struct):
    topic_id: bytes = uuid("5-7")
    partition_errors: list[LeaderAndIsrPartitionError] = array(LeaderAndIsrPartitionError, "5-7")


@message(ApiKey.LEADER_AND_ISR, versions="none", flexible="4+", removed="0-7")
class LeaderAndIsrResponse(Struct):
    error_code: int = int16("0-7")
    partition_errors: list[LeaderAndIsrPartitionError] = array(LeaderAndIsrPartitionError, "0-4")
    topics: list[LeaderAndIsrTopicError] = array(LeaderAndIsrTopicError, "5-7")
