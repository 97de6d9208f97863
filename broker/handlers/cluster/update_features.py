"""UpdateFeatures (API 57). v1+ tells how a downgrade is meant, v2+ answers no single results. (KIP-584, KIP-1022)"""

from __future__ import annotations

from broker.context import RequestContext
from broker.controller.controller import Controller, FeatureUpdate
from broker.controller.decisions.features import SAFE_DOWNGRADE, UPGRADE
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from kwire.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)


async def update_features(
    request: UpdateFeaturesRequest, ctx: RequestContext, controller: Controller
) -> UpdateFeaturesResponse:
    """All or none."""
    version = ctx.api_version
    updates = [
        FeatureUpdate(each.feature, each.max_version_level, _how(each, version)) for each in request.feature_updates
    ]
    try:
        await controller.update_features(updates, validate_only=request.validate_only)
    except ApiError as error:
        return UpdateFeaturesResponse(
            error_code=error.code,
            error_message="The update failed for all features since the following feature had an error: "
            f"{error.message}",
        )
    results = [
        # Kafka answers the name of the code here.
        UpdatableFeatureResult(feature=each.feature, error_code=ErrorCode.NONE, error_message="NONE")
        for each in (request.feature_updates if version <= 1 else ())
    ]
    return UpdateFeaturesResponse(error_message=None, results=results)


def _how(update: FeatureUpdateKey, version: int) -> int:
    if version >= 1:
        return update.upgrade_type
    return SAFE_DOWNGRADE if update.allow_downgrade else UPGRADE
