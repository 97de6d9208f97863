"""The histories' driver over the handlers, in memory."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, cast

from broker.deferred import Deferred, start
from broker.routes import api_name
from kwire import codec
from kwire.api_keys import ApiKey
from tests.broker.coordinator.group_world import OnlyNode, World


def response_class(api: ApiKey) -> type[Any]:
    module = importlib.import_module(f"kwire.messages.{api.name.lower()}")
    return cast(type[Any], getattr(module, f"{api_name(api)}Response"))


class WorldAnswer:
    def __init__(self, world: World, answer: Deferred[Any], api: ApiKey, version: int) -> None:
        self._world, self._answer, self._api, self._version = world, answer, api, version

    def get(self) -> Any:
        self._world.settle()
        assert self._answer.done, f"no answer to {self._api.name}"
        return codec.decode(
            response_class(self._api), self._version, codec.encode(self._answer.result(), self._version)
        )


class WorldDriver:
    """Requests and responses go through the codec, as on the wire: what a version lacks is not seen."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.topic_ids = {name: world.topics.id_of(name) for name in world.topics.partitions}

    def send(self, who: str, api: ApiKey, version: int, request: Any, client_id: str | None = "app") -> WorldAnswer:
        del who
        decoded = codec.decode(type(request), version, codec.encode(request, version))
        module = importlib.import_module(f"broker.handlers.groups.{api.name.lower()}")
        handler = getattr(module, api.name.lower())
        context = self.world.context(api, version, client_id)
        services = (self.world.transactions, self.world.addresses, OnlyNode()) if api is ApiKey.FIND_COORDINATOR else ()
        answered = handler(decoded, context, self.world.coordinator, *services)
        if inspect.iscoroutine(answered):
            answer: Deferred[Any] = start(answered)
        else:
            answer = Deferred()
            answer.resolve(answered)
        self.world.settle()
        return WorldAnswer(self.world, answer, api, version)
