"""What is made of messages: topics, groups, errors, plain values; of every API and version."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from broker.transcript.details import errors_of, groups_of, plain, topics_of
from broker.transcript.records import of_piece, without_records
from kwire import uuids
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode
from kwire.messages import request_class, response_class
from kwire.messages.alter_configs import AlterableConfig, AlterConfigsRequest, AlterConfigsResource
from kwire.messages.describe_groups import DescribeGroupsRequest
from kwire.messages.fetch import FetchRequest, FetchResponse, FetchTopic
from kwire.messages.find_coordinator import FindCoordinatorRequest
from kwire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic
from kwire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics
from kwire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from kwire.messages.sasl_authenticate import SaslAuthenticateRequest
from kwire.records import Codec, RecordBatchBuilder
from kwire.schema import info_of
from tests.kwire.samples import Filler


def no_names(_topic_id: bytes) -> str | None:
    return None


@pytest.mark.parametrize("api", list(ApiKey), ids=lambda api: api.name)
def test_every_message_can_be_shown(api: ApiKey) -> None:
    for cls in (request_class(api), response_class(api)):
        low, high = info_of(cls).versions
        for version in range(low, high + 1):
            filler = Filler(random.Random(version))
            message, _ = without_records(filler.message(cls, version), 2)
            topics_of(message, no_names)
            groups_of(message)
            errors_of(message)
            shown = msgspec.json.encode(plain(message, version))
            fields = {each.name for each in cls.struct_fields if each.in_version(version) or each.tagged_in(version)}
            assert set(json.loads(shown)) == fields


def test_topics() -> None:
    by_id = {b"i" * 16: "by-id"}
    topics = [MetadataRequestTopic(name="a"), MetadataRequestTopic(topic_id=b"i" * 16, name=None)]
    assert list(topics_of(MetadataRequest(topics=topics), by_id.get)) == ["a", "by-id"]
    assert list(topics_of(FetchRequest(topics=[FetchTopic(topic="b")]), by_id.get)) == ["b"]
    assert list(topics_of(FetchRequest(topics=[FetchTopic(topic_id=b"x" * 16)]), by_id.get)) == []
    group = OffsetFetchRequestGroup(group_id="g", topics=[OffsetFetchRequestTopics(name="c")])
    assert list(topics_of(OffsetFetchRequest(groups=[group]), by_id.get)) == ["c"]
    resource = AlterConfigsResource(resource_type=2, resource_name="d", configs=[AlterableConfig(name="not-a-topic")])
    assert list(topics_of(AlterConfigsRequest(resources=[resource]), by_id.get)) == ["d"]
    resource.resource_type = 4
    assert list(topics_of(AlterConfigsRequest(resources=[resource]), by_id.get)) == []
    assert topics_of(None, by_id.get) == {}


def test_groups() -> None:
    group = OffsetFetchRequestGroup(group_id="g")
    assert list(groups_of(OffsetFetchRequest(groups=[group]))) == ["g"]
    assert list(groups_of(DescribeGroupsRequest(groups=["a", "b"]))) == ["a", "b"]
    assert list(groups_of(FindCoordinatorRequest(key="k"))) == ["k"]
    assert list(groups_of(FindCoordinatorRequest(key_type=1, coordinator_keys=["txn"]))) == []


def test_errors() -> None:
    topics = [MetadataResponseTopic(error_code=3), MetadataResponseTopic(), MetadataResponseTopic(error_code=3)]
    topics.append(MetadataResponseTopic(error_code=999))
    assert errors_of(MetadataResponse(topics=topics)) == {ErrorCode.UNKNOWN_TOPIC_OR_PARTITION.name: 2, "999": 1}
    assert errors_of(FetchResponse(error_code=70)) == {"FETCH_SESSION_ID_NOT_FOUND": 1}


def test_secrets_are_hidden() -> None:
    assert plain(SaslAuthenticateRequest(auth_bytes=b"secret"), 2) == {"auth_bytes": "(hidden)"}
    configs = [
        AlterableConfig(name="ssl.keystore.password", value="secret"),
        AlterableConfig(name="sasl.jaas.config", value="secret"),
        AlterableConfig(name="listener.name.x.ssl.key.password", value=None),
        AlterableConfig(name="log.retention.ms", value="5"),
    ]
    (resource,) = plain(AlterConfigsRequest(resources=[AlterConfigsResource(configs=configs)]), 2)["resources"]
    assert [each["value"] for each in resource["configs"]] == ["(hidden)", "(hidden)", None, "5"]


def test_how_values_are_shown() -> None:
    request = MetadataRequest(topics=[MetadataRequestTopic(topic_id=b"i" * 16, name="a")])
    assert plain(request, 12)["topics"] == [{"topic_id": uuids.to_string(b"i" * 16), "name": "a"}]
    assert plain(request, 4)["topics"] == [{"name": "a"}]
    many = plain(DescribeGroupsRequest(groups=[str(n) for n in range(1500)]), 5)["groups"]
    assert (len(many), many[-1]) == (1001, "... 500 more")


def _batch(codec: Codec = Codec.NONE, **more: Any) -> bytes:
    builder = RecordBatchBuilder(base_offset=5, codec=codec, **more)
    builder.append(b"k", b"v" * 300, timestamp=7)
    builder.append(None, None, timestamp=8)
    return bytes(builder.build())


@pytest.mark.parametrize("codec", list(Codec))
def test_summaries_of_records(codec: Codec) -> None:
    data = _batch(codec, producer_id=9, producer_epoch=1, base_sequence=3, transactional=True)
    summary = of_piece(memoryview(data + data), 3)
    assert (summary.size, summary.complete, len(summary.batches)) == (2 * len(data), True, 2)
    assert [(each.offset, each.timestamp_ms, each.key) for each in summary.first] == [
        (5, 7, b"k"),
        (6, 8, None),
        (5, 7, b"k"),
    ]
    assert (len(summary.first[0].value or b""), summary.first[1].value) == (256, None)
    request = ProduceRequest(
        topic_data=[TopicProduceData(name="t", partition_data=[PartitionProduceData(records=memoryview(data))])]
    )
    kept, size = without_records(request, 0)
    assert size == len(data)
    records = plain(kept, 9)["topic_data"][0]["partition_data"][0]["records"]
    assert records == {
        "size": len(data),
        "batches": [
            {
                "base_offset": 5,
                "last_offset": 6,
                "records": 2,
                "size": len(data),
                "codec": codec.name.lower(),
                "producer_id": 9,
                "producer_epoch": 1,
                "base_sequence": 3,
                "transactional": True,
            }
        ],
    }
    assert request.topic_data[0].partition_data[0].records is not None, "the request stays as it was"


def test_what_is_no_batch() -> None:
    assert of_piece(b"", 1).batches == []
    assert not of_piece(b"x" * 100, 1).complete
    data = _batch()
    cut = of_piece(data[:-1], 1)
    assert (len(cut.batches), cut.complete, cut.first) == (1, False, [])
    many = of_piece(data * 20, 0)
    assert (len(many.batches), many.complete) == (16, False)
    broken = bytearray(data)
    broken[61] = 0xFF
    assert of_piece(bytes(broken), 1).first == []
