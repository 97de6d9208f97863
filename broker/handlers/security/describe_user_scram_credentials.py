"""DescribeUserScramCredentials: who has which SCRAM credentials, without the secrets (KIP-554)."""

from __future__ import annotations

from collections import Counter

from broker.context import RequestContext
from broker.controller.controller import Controller
from broker.controller.records import RemoveUserScramCredentialRecord, UserScramCredentialRecord
from kwire.error_codes import ErrorCode
from kwire.messages.describe_user_scram_credentials import (
    CredentialInfo,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult,
)


def describe_user_scram_credentials(
    request: DescribeUserScramCredentialsRequest, _ctx: RequestContext, controller: Controller
) -> DescribeUserScramCredentialsResponse:
    """The users asked for; all that have credentials when none is named."""
    credentials = _credentials(controller)
    asked = Counter(user.name for user in request.users or [])
    results = []
    for name in asked or credentials:
        if asked[name] > 1:
            results.append(
                _refused(
                    name,
                    ErrorCode.DUPLICATE_RESOURCE,
                    f"Cannot describe SCRAM credentials for the same user twice in a single request: {name}",
                )
            )
        elif name not in credentials:
            results.append(
                _refused(
                    name,
                    ErrorCode.RESOURCE_NOT_FOUND,
                    f"Attempt to describe a user credential that does not exist: {name}",
                )
            )
        else:
            infos = [
                CredentialInfo(mechanism=mechanism, iterations=iterations)
                for mechanism, iterations in sorted(credentials[name].items())
            ]
            results.append(DescribeUserScramCredentialsResult(user=name, error_message="", credential_infos=infos))
    return DescribeUserScramCredentialsResponse(error_message="", results=results)


def _refused(user: str, code: ErrorCode, message: str) -> DescribeUserScramCredentialsResult:
    return DescribeUserScramCredentialsResult(user=user, error_code=code, error_message=message)


def _credentials(controller: Controller) -> dict[str, dict[int, int]]:
    """Iterations by mechanism, by user, as the records say."""
    found: dict[str, dict[int, int]] = {}
    for record in controller.image.other_records:
        if isinstance(record, UserScramCredentialRecord):
            found.setdefault(record.name, {})[record.mechanism] = record.iterations
        elif isinstance(record, RemoveUserScramCredentialRecord):
            mechanisms = found.get(record.name, {})
            mechanisms.pop(record.mechanism, None)
            if not mechanisms:
                found.pop(record.name, None)
    return found
