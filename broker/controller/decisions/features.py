"""Finalized feature levels. (KIP-584, KIP-778; `FeatureControlManager`)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define

from broker.controller.decisions.decision import Decision
from broker.controller.image import ClusterImage
from broker.controller.records import FeatureLevelRecord
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

METADATA_VERSION: Final = "metadata.version"
KRAFT_VERSION: Final = "kraft.version"

UPGRADE: Final = 1
SAFE_DOWNGRADE: Final = 2
UNSAFE_DOWNGRADE: Final = 3


@define(slots=True, frozen=True)
class FeatureUpdate:
    """One feature's wanted level. upgrade_type: 1 upgrade, 2 safe downgrade, 3 unsafe downgrade, else unknown."""

    name: str
    level: int
    upgrade_type: int = UPGRADE


def update_features(
    image: ClusterImage,
    updates: Sequence[FeatureUpdate],
    supported: Mapping[str, tuple[int, int]],
    controller_id: int,
) -> Decision[None]:
    """All or none. supported: what this node can do, lowest and highest level.

    Raises ApiError(INVALID_UPDATE_VERSION) for the first that cannot be.
    """
    decision: Decision[None] = Decision(None)
    for update in updates:
        _check(image, update, supported, controller_id)
        if update.name != KRAFT_VERSION:
            decision.records.append(FeatureLevelRecord(name=update.name, feature_level=update.level))
    return decision


def _check(
    image: ClusterImage, update: FeatureUpdate, supported: Mapping[str, tuple[int, int]], controller_id: int
) -> None:
    name, level, how = update.name, update.level, update.upgrade_type
    if how not in (UPGRADE, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE):
        raise _invalid(update, "The controller does not support the given upgrade type.")
    if level < 0:
        raise _invalid(update, "A feature version cannot be less than 0.")
    nodes: list[tuple[str, Mapping[str, tuple[int, int]]]] = [(f"Local controller {controller_id}", supported)]
    nodes += ((f"Broker {broker_id}", broker.features) for broker_id, broker in sorted(image.brokers.items()))
    nodes += (
        (f"Controller {other}", controller.features)
        for other, controller in sorted(image.controllers.items())
        if other != controller_id
    )
    for node, features in nodes:
        low, high = features.get(name, (0, 0))
        if not low <= level <= high:
            if high == 0:
                raise _invalid(update, f"{node} does not support this feature.")
            raise _invalid(update, f"{node} only supports versions {low}-{high}")
    current = image.features.get(name, 0)
    if name == KRAFT_VERSION and level != current:
        raise _invalid(update, "The quorum's voters are fixed by the settings; its version cannot be changed.")
    if level < current:
        if how == UPGRADE:
            raise _invalid(
                update,
                "Can't downgrade the version of this feature without setting the upgrade type to either safe or "
                "unsafe downgrade.",
            )
        if name == METADATA_VERSION:
            reason = (
                "Unsafe metadata downgrade is not supported in this version."
                if how == UNSAFE_DOWNGRADE
                else "Refusing to perform the requested downgrade because it might delete metadata information."
            )
            raise ApiError(
                ErrorCode.INVALID_UPDATE_VERSION,
                f"Unsupported metadata.version downgrade from {current} to {level}. {reason}",
            )
    elif level > current and how != UPGRADE:
        raise _invalid(update, "Can't downgrade to a newer version.")


def _invalid(update: FeatureUpdate, reason: str) -> ApiError:
    return ApiError(
        ErrorCode.INVALID_UPDATE_VERSION,
        f"Invalid update version {update.level} for feature {update.name}. {reason}",
    )
