"""A route of an older release: where its versions want another handling, that stands around the handler of today."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import define, evolve, field

from broker.dispatch import BoundRoute, Handler
from broker.routes import Route, VersionRange
from kwire.api_keys import ApiKey

if TYPE_CHECKING:
    from broker.context import RequestContext
    from broker.personality.personality import Personality
    from broker.services import Services

Around = Callable[[Handler, "Services", "Personality"], Handler]

# API -> (versions, module of this package; its function `around` makes the handler). In all of them the records, the
# offsets and the topics are those of today; what differs is how they are told.
_AROUND: Final = {
    ApiKey.PRODUCE: (VersionRange(0, 2), "produce"),
    ApiKey.FETCH: (VersionRange(0, 3), "fetch"),
    ApiKey.LIST_OFFSETS: (VersionRange(0, 0), "list_offsets"),
    ApiKey.METADATA: (VersionRange(0, 99), "metadata"),
    ApiKey.OFFSET_FETCH: (VersionRange(0, 0), "offset_fetch"),
    ApiKey.DESCRIBE_CONFIGS: (VersionRange(0, 0), "describe_configs"),
}


@define(slots=True)
class OlderRoute(Route):
    """A route, and whose it is."""

    personality: Personality = field(kw_only=True)
    services: Services = field(kw_only=True)

    def bind(self, version: int) -> BoundRoute:
        bound = self._bound.get(version)
        if bound is None:
            bound = Route.bind(self, version)
            versions, module = _AROUND.get(self.api_key, (None, ""))
            if versions is not None and version in versions:
                around = self._load(module)
                # What a shortcut keeps is made for the versions of today.
                call = around(bound.call, self.services, self.personality)
                bound = self._bound[version] = evolve(bound, call=call, shortcut=None)
        return bound

    def unsupported_version_handler(self) -> Handler:
        handler = Route.unsupported_version_handler(self)
        if self.personality.tells_own_versions:
            return handler

        def only_the_error(request: Any, ctx: RequestContext) -> Any:
            response = handler(request, ctx)
            response.api_keys = []
            return response

        return only_the_error

    @staticmethod
    def _load(module: str) -> Around:
        return cast(Around, importlib.import_module(f"broker.personality.{module}").around)
