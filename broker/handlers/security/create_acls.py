"""CreateAcls without an authorizer."""

from __future__ import annotations

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.create_acls import AclCreationResult, CreateAclsRequest, CreateAclsResponse


def create_acls(request: CreateAclsRequest, _ctx: RequestContext) -> CreateAclsResponse:
    """SECURITY_DISABLED for each."""
    return CreateAclsResponse(
        results=[
            AclCreationResult(error_code=ErrorCode.SECURITY_DISABLED, error_message="No Authorizer is configured.")
            for _ in request.creations
        ]
    )
