"""DescribeAcls without an authorizer."""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.describe_acls import DescribeAclsRequest, DescribeAclsResponse


def describe_acls(_request: DescribeAclsRequest, _ctx: RequestContext) -> DescribeAclsResponse:
    """SECURITY_DISABLED."""
    return DescribeAclsResponse(
        error_code=ErrorCode.SECURITY_DISABLED, error_message="No Authorizer is configured on the broker"
    )
