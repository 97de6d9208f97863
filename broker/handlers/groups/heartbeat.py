"""Heartbeat  (KIP-345)

v3 static members. Answered at once in every case.
"""

from __future__ import annotations

from broker.context import RequestContext
from broker.coordinator.coordinator import GroupCoordinator
from kwire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse


def heartbeat(request: HeartbeatRequest, _ctx: RequestContext, groups: GroupCoordinator) -> HeartbeatResponse:
    return HeartbeatResponse(error_code=groups.heartbeat(request))
