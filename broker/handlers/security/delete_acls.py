"""DeleteAcls without an authorizer."""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.delete_acls import DeleteAclsFilterResult, DeleteAclsRequest, DeleteAclsResponse


def delete_acls(request: DeleteAclsRequest, _ctx: RequestContext) -> DeleteAclsResponse:
    """SECURITY_DISABLED for each filter."""
    return DeleteAclsResponse(
        filter_results=[
            DeleteAclsFilterResult(error_code=ErrorCode.SECURITY_DISABLED, error_message="No Authorizer is configured.")
            for _ in request.filters
        ]
    )
