"""ApiVersions: what is spoken here.  (KIP-35, KIP-511, KIP-584)"""

from __future__ import annotations

import re
from typing import Final, Protocol

from broker.context import RequestContext
from kwire.error_codes import ErrorCode
from kwire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

_SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")
_SOFTWARE_FROM: Final = 3
_ZERO_FEATURES_FROM: Final = 4
_OWN_KEY: Final = 18


class AdvertisedVersions(Protocol):
    """What this broker says of itself."""

    def api_versions(self) -> list[tuple[int, int, int]]:
        """(API key, first version, last version), by key."""

    def supported_features(self) -> dict[str, tuple[int, int]]: ...

    def finalized_features(self) -> tuple[int, dict[str, int]]:
        """The epoch (an offset of the metadata log), and each level."""


def api_versions(request: ApiVersionsRequest, ctx: RequestContext, versions: AdvertisedVersions) -> ApiVersionsResponse:
    """The table of APIs and features. Up to v3, features whose first version is 0 are left out (KAFKA-17011)."""
    if ctx.api_version >= _SOFTWARE_FROM:
        if not (
            _SOFTWARE.fullmatch(request.client_software_name) and _SOFTWARE.fullmatch(request.client_software_version)
        ):
            return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST)
        ctx.connection.client_software_name = request.client_software_name
        ctx.connection.client_software_version = request.client_software_version
    epoch, finalized = versions.finalized_features()
    return ApiVersionsResponse(
        api_keys=[
            ApiVersion(api_key=key, min_version=first, max_version=last) for key, first, last in versions.api_versions()
        ],
        supported_features=[
            SupportedFeatureKey(name=name, min_version=first, max_version=last)
            for name, (first, last) in versions.supported_features().items()
            if first > 0 or ctx.api_version >= _ZERO_FEATURES_FROM
        ],
        finalized_features_epoch=epoch,
        finalized_features=[
            FinalizedFeatureKey(name=name, max_version_level=level, min_version_level=level)
            for name, level in finalized.items()
        ],
    )


def unsupported_version(ctx: RequestContext, versions: AdvertisedVersions) -> ApiVersionsResponse:
    """The answer, in version 0, to a version this broker does not know: the code, and its own versions of this API."""
    own = [
        ApiVersion(api_key=key, min_version=first, max_version=last)
        for key, first, last in versions.api_versions()
        if key == _OWN_KEY
    ]
    return ApiVersionsResponse(error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=own)
