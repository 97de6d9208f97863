"""The answers of a broker without security, and what the metadata log says of quotas and credentials."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from broker.context import RequestContext
from broker.controller.controller import Controller
from broker.controller.records import ClientQuotaRecord, RemoveUserScramCredentialRecord, UserScramCredentialRecord
from broker.handlers.security.describe_client_quotas import describe_client_quotas
from broker.handlers.security.describe_user_scram_credentials import describe_user_scram_credentials
from kwire.internal import metadata_records
from kwire.messages.create_acls import AclCreation, CreateAclsRequest
from kwire.messages.create_delegation_token import CreateDelegationTokenRequest
from kwire.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from kwire.messages.describe_acls import DescribeAclsRequest
from kwire.messages.describe_client_quotas import ComponentData, DescribeClientQuotasRequest
from kwire.messages.describe_delegation_token import DescribeDelegationTokenRequest
from kwire.messages.describe_user_scram_credentials import DescribeUserScramCredentialsRequest, UserName
from kwire.messages.expire_delegation_token import ExpireDelegationTokenRequest
from kwire.messages.renew_delegation_token import RenewDelegationTokenRequest
from kwire.messages.sasl_authenticate import SaslAuthenticateRequest
from kwire.messages.sasl_handshake import SaslHandshakeRequest
from tests.broker.cluster_helpers import running_server

CONTEXT = cast(RequestContext, None)


def test_answers_without_security(tmp_path: Path) -> None:
    async def main() -> None:
        async with running_server(tmp_path) as running:
            client = await running.connect(running.add())
            acls = await client.send(DescribeAclsRequest(resource_type_filter=1), 3)
            assert (acls.error_code, acls.error_message) == (54, "No Authorizer is configured on the broker")
            created = await client.send(CreateAclsRequest(creations=[AclCreation(), AclCreation()]), 3)
            assert [(each.error_code, each.error_message) for each in created.results] == [
                (54, "No Authorizer is configured.")
            ] * 2
            deleted = await client.send(DeleteAclsRequest(filters=[DeleteAclsFilter()]), 3)
            assert [(each.error_code, each.error_message) for each in deleted.filter_results] == [
                (54, "No Authorizer is configured.")
            ]
            shaken = await client.send(SaslHandshakeRequest(mechanism="PLAIN"), 1)
            assert (shaken.error_code, shaken.mechanisms) == (34, [])
            authenticated = await client.send(SaslAuthenticateRequest(auth_bytes=b"x"), 2)
            assert (authenticated.error_code, authenticated.error_message) == (
                34,
                "SaslAuthenticate request received after successful authentication",
            )
            for version in (1, 2):
                old = await client.send(CreateDelegationTokenRequest(), version)
                assert (old.error_code, old.principal_type, old.principal_name) == (64, "User", "ANONYMOUS")
            token = await client.send(CreateDelegationTokenRequest(), 3)
            assert (token.token_requester_principal_type, token.token_requester_principal_name) == ("User", "ANONYMOUS")
            assert (token.error_code, token.principal_type, token.principal_name) == (64, "User", "ANONYMOUS")
            assert (token.issue_timestamp_ms, token.expiry_timestamp_ms, token.max_timestamp_ms) == (-1, -1, -1)
            for request, version in (
                (RenewDelegationTokenRequest(), 2),
                (ExpireDelegationTokenRequest(), 2),
                (DescribeDelegationTokenRequest(owners=None), 3),
            ):
                assert (await client.send(request, version)).error_code == 64
            quotas = await client.send(DescribeClientQuotasRequest(), 1)
            assert (quotas.error_code, quotas.error_message, quotas.entries) == (0, "", [])
            users = await client.send(DescribeUserScramCredentialsRequest(users=None), 0)
            assert (users.error_code, users.error_message, users.results) == (0, "", [])

    trio.run(main)


def controller(*records: Any) -> Controller:
    return cast(Controller, SimpleNamespace(image=SimpleNamespace(other_records=list(records))))


def quota(key: str, value: float, *, remove: bool = False, **entity: str | None) -> ClientQuotaRecord:
    parts = [
        metadata_records.EntityData(entity_type=kind.replace("_", "-"), entity_name=name)
        for kind, name in entity.items()
    ]
    return ClientQuotaRecord(entity=parts, key=key, value=value, remove=remove)


QUOTAS = controller(
    quota("consumer_byte_rate", 5.0, client_id=None),
    quota("producer_byte_rate", 1000.0, user="u"),
    quota("producer_byte_rate", 7.0, user="u", client_id="c"),
    quota("producer_byte_rate", 9.0, user="gone"),
    quota("producer_byte_rate", 5.0, user="u"),
    quota("producer_byte_rate", 0.0, user="gone", remove=True),
)


def entities(*components: tuple[str, int, str | None], strict: bool = False) -> list[dict[str, str | None]]:
    request = DescribeClientQuotasRequest(components=[ComponentData(*each) for each in components], strict=strict)
    response = describe_client_quotas(request, CONTEXT, QUOTAS)
    assert response.error_code == 0, response
    return [{part.entity_type: part.entity_name for part in entry.entity} for entry in response.entries or []]


def test_quotas_that_match() -> None:
    default, user, both = {"client-id": None}, {"user": "u"}, {"user": "u", "client-id": "c"}
    assert entities() == [default, user, both]
    assert entities(("user", 2, None)) == [user, both]
    assert entities(("user", 2, None), strict=True) == [user]
    assert entities(("user", 0, "u"), ("client-id", 0, "c")) == [both]
    assert entities(("client-id", 1, None)) == [default]
    assert entities(("ip", 2, None)) == []
    values = describe_client_quotas(DescribeClientQuotasRequest(), CONTEXT, QUOTAS).entries or []
    assert [(each.key, each.value) for each in values[1].values] == [("producer_byte_rate", 5.0)]


@pytest.mark.parametrize(
    ("components", "code", "message"),
    [
        ([("foo", 2, None)], 35, "Unsupported entity type foo"),
        ([("user", 2, None)] * 2, 42, "Entity type user cannot appear more than once in the filter."),
        ([("", 2, None)], 42, "Invalid empty entity type."),
        ([("user", 9, None)], 42, "Unknown match type 9"),
        ([("user", 0, None)], 42, "Request specified MATCH_TYPE_EXACT, but set match string to null."),
        ([("user", 1, "x")], 42, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string."),
        ([("user", 2, "x")], 42, "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string."),
        (
            [("ip", 2, None), ("user", 2, None)],
            42,
            "Invalid entity filter component combination. IP filter component should not be used with user or "
            "clientId filter component.",
        ),
    ],
)
def test_quota_filters_that_cannot_be(components: list[tuple[str, int, str | None]], code: int, message: str) -> None:
    request = DescribeClientQuotasRequest(components=[ComponentData(*each) for each in components])
    response = describe_client_quotas(request, CONTEXT, QUOTAS)
    assert (response.error_code, response.error_message, response.entries) == (code, message, None)


def test_scram_credentials() -> None:
    world = controller(
        UserScramCredentialRecord(name="n", mechanism=1, iterations=4096),
        UserScramCredentialRecord(name="n", mechanism=2, iterations=8192),
        UserScramCredentialRecord(name="gone", mechanism=1, iterations=4096),
        RemoveUserScramCredentialRecord(name="gone", mechanism=1),
    )

    def described(*users: str) -> list[tuple[str, int, str | None, list[tuple[int, int]]]]:
        request = DescribeUserScramCredentialsRequest(users=[UserName(name) for name in users])
        return [
            (
                each.user,
                each.error_code,
                each.error_message,
                [(info.mechanism, info.iterations) for info in each.credential_infos],
            )
            for each in describe_user_scram_credentials(request, CONTEXT, world).results
        ]

    known = ("n", 0, "", [(1, 4096), (2, 8192)])
    assert described() == [known]
    assert described("n", "gone", "a", "a") == [
        known,
        ("gone", 91, "Attempt to describe a user credential that does not exist: gone", []),
        ("a", 92, "Cannot describe SCRAM credentials for the same user twice in a single request: a", []),
    ]
