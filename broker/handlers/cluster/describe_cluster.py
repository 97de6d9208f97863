"""DescribeCluster (API 60). v1+ says of which kind of endpoint, v2+ may show fenced brokers. (KIP-700, KIP-919)"""

from __future__ import annotations

from typing import Final

from broker.addresses import AddressBook
from broker.context import RequestContext
from broker.controller.controller import Controller
from kwire.error_codes import ErrorCode
from kwire.messages.describe_cluster import DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse

ALL_CLUSTER_OPERATIONS: Final = 8096
BROKERS: Final = 1
CONTROLLERS: Final = 2


def describe_cluster(
    request: DescribeClusterRequest, ctx: RequestContext, controller: Controller, addresses: AddressBook
) -> DescribeClusterResponse:
    """Controllers are not described here: their listener is not this one."""
    kind = request.endpoint_type
    if kind == CONTROLLERS:
        return _refused(
            ErrorCode.MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
        )
    if kind != BROKERS:
        return _refused(ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, f"Unsupported endpoint type {kind}")
    brokers = []
    for broker_id, broker in sorted(controller.image.brokers.items()):
        address = addresses.for_node(broker_id, ctx)
        if address is None or (broker.fenced and not request.include_fenced_brokers):
            continue
        brokers.append(
            DescribeClusterBroker(
                broker_id=broker_id,
                host=address[0],
                port=address[1],
                rack=broker.rack,
                is_fenced=ctx.api_version >= 2 and broker.fenced,
            )
        )
    response = DescribeClusterResponse(
        cluster_id=controller.image.cluster_id,
        controller_id=min((broker.broker_id for broker in brokers if not broker.is_fenced), default=-1),
        brokers=brokers,
    )
    if request.include_cluster_authorized_operations:
        response.cluster_authorized_operations = ALL_CLUSTER_OPERATIONS
    return response


def _refused(code: ErrorCode, message: str) -> DescribeClusterResponse:
    return DescribeClusterResponse(error_code=code, error_message=message)
