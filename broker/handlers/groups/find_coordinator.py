"""FindCoordinator  (KIP-98, KIP-699, KIP-890, KIP-932)

v1 key types and an error message; v4 several keys at once; v6 share groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from broker.addresses import AddressBook
from broker.context import RequestContext
from broker.coordinator.coordinator import OFFSETS_TOPIC, GroupCoordinator
from broker.coordinator.transactions import TRANSACTION_TOPIC, TransactionCoordinator
from kwire.error_codes import ErrorCode
from kwire.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

_BATCHED_SINCE = 4
_GROUP = 0
_TRANSACTION = 1
_SHARE = 2
_KINDS = (_GROUP, _TRANSACTION, _SHARE)
_TOPICS = {_GROUP: OFFSETS_TOPIC, _TRANSACTION: TRANSACTION_TOPIC}
# The error message of answers up to v3, and of a kind of key that nobody knows.
_MESSAGES = {
    ErrorCode.NONE: "NONE",
    ErrorCode.COORDINATOR_NOT_AVAILABLE: "The coordinator is not available.",
    ErrorCode.INVALID_REQUEST: (
        "This most likely occurs because of a request being malformed by the client library or the message was sent to"
        " an incompatible broker. See the broker logs for more details."
    ),
}


class Coordinators(Protocol):
    """Who leads the internal topics' partitions (broker.nodes.hints)."""

    def coordinator(self, topic: str, key: str, /) -> int: ...


async def find_coordinator(
    request: FindCoordinatorRequest,
    ctx: RequestContext,
    groups: GroupCoordinator,
    transactions: TransactionCoordinator,
    addresses: AddressBook,
    leaders: Coordinators,
) -> FindCoordinatorResponse:
    available = {_GROUP: groups.available, _TRANSACTION: transactions.available}.get(request.key_type)
    topic = _TOPICS.get(request.key_type, "")
    if ctx.api_version >= _BATCHED_SINCE and request.key_type not in _KINDS:
        message = _MESSAGES[ErrorCode.INVALID_REQUEST]
        refused = [_refuse(key, ErrorCode.INVALID_REQUEST, message) for key in request.coordinator_keys]
        return FindCoordinatorResponse(coordinators=refused)
    if ctx.api_version >= _BATCHED_SINCE:
        return FindCoordinatorResponse(
            coordinators=[_find(key, ctx, available, addresses, leaders, topic) for key in request.coordinator_keys]
        )
    found = _find(request.key, ctx, available, addresses, leaders, topic)
    code = ErrorCode(found.error_code)
    return FindCoordinatorResponse(
        error_code=code,
        error_message=_MESSAGES[code],
        node_id=found.node_id,
        host=found.host,
        port=found.port,
    )


def _find(
    key: str,
    ctx: RequestContext,
    available: Callable[[], bool] | None,
    addresses: AddressBook,
    leaders: Coordinators,
    topic: str,
) -> Coordinator:
    """The node for one key: the leader of its partition of the internal topic.

    COORDINATOR_NOT_AVAILABLE while that is being created, or nobody leads. available: the coordinator's; None for a
    type of key that nobody here knows.
    """
    if available is None:
        return _refuse(key, ErrorCode.INVALID_REQUEST)
    if not available():
        return _refuse(key, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    leader = leaders.coordinator(topic, key)
    address = addresses.for_node(leader, ctx)
    if address is None:
        return _refuse(key, ErrorCode.COORDINATOR_NOT_AVAILABLE)
    host, port = address
    return Coordinator(key=key, node_id=leader, host=host, port=port)


def _refuse(key: str, code: ErrorCode, message: str = "") -> Coordinator:
    return Coordinator(key=key, node_id=-1, host="", port=-1, error_code=code, error_message=message)
