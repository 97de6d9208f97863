"""Errors of the broker's own code, as the control plane tells them."""

from __future__ import annotations

import pytest

from broker.config.broker_config import BrokerConfig
from broker.config.values import InvalidConfigError
from broker.contents.model import ContentsError, Problem
from broker.control.errors import explain
from broker.start_error import StartError
from broker.virtual.errors import ClusterExistsError, UnknownClusterError
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log.append_errors import RecordsRejectedError


@pytest.mark.parametrize(
    ("error", "status", "code", "said"),
    [
        (ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION), 404, "unknown_topic_or_partition", "unknown topic"),
        (
            ApiError(ErrorCode.TOPIC_ALREADY_EXISTS, "Topic 'a' exists."),
            409,
            "topic_already_exists",
            "Topic 'a' exists.",
        ),
        (ApiError(ErrorCode.NOT_LEADER_OR_FOLLOWER), 503, "not_leader_or_follower", "not leader or follower"),
        (ApiError(ErrorCode.INVALID_PARTITIONS, "too many"), 400, "invalid_partitions", "too many"),
        (
            RecordsRejectedError(ErrorCode.INVALID_RECORD, "refused", [(2, "has no key")]),
            400,
            "invalid_record",
            "refused (record 2 of its batch: has no key)",
        ),
        (UnknownClusterError("x", ["default"]), 404, "unknown_cluster", "there is no cluster 'x'"),
        (ClusterExistsError("x"), 409, "cluster_exists", "there is a cluster 'x' already"),
        (ContentsError([Problem(("topics", "a"), "is wrong")]), 400, "invalid_contents", "topics.a: is wrong"),
        (StartError("the port is taken"), 400, "cannot_start", "the port is taken"),
    ],
)
def test_what_can_be_told(error: Exception, status: int, code: str, said: str) -> None:
    told = explain(error)
    assert told is not None
    assert (told.status, told.code) == (status, code)
    assert said in told.message


def test_settings() -> None:
    with pytest.raises(InvalidConfigError) as refused:
        BrokerConfig({"num.partitions": "many"})
    told = explain(refused.value)
    assert told is not None
    assert (told.status, told.code) == (400, "invalid_config")
    assert "num.partitions" in told.message


@pytest.mark.parametrize("error", [ApiError(ErrorCode.UNKNOWN_SERVER_ERROR), ValueError("x"), KeyError("x")])
def test_what_is_a_bug(error: Exception) -> None:
    assert explain(error) is None


@pytest.mark.parametrize("code", [each for each in ErrorCode if each not in (-1, 0)], ids=lambda code: code.name)
def test_every_code_of_kafkas_is_a_refusal(code: ErrorCode) -> None:
    told = explain(ApiError(code))
    assert told is not None
    assert told.status in (400, 404, 409, 503)
    assert told.message
