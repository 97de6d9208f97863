"""The config APIs' operations on every kind of resource  (Kafka: ConfigAdminManager, ConfigHelper).

A change passes two checks, as in Kafka: here what the broker must judge (its own settings, its loggers, requests that
make no sense), then the controller, which judges topics, groups and client metrics and writes the change to its log.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from broker.config.broker_config import BrokerConfig
from broker.config.definitions import broker_definitions
from broker.config.describe import (
    Described,
    Source,
    describe_broker,
    describe_broker_defaults,
    describe_client_metrics,
    describe_group,
    describe_topic,
)
from broker.config.dynamic import validate_broker_change
from broker.config.loggers import DELETE, SET, LevelChange, Loggers
from broker.config.values import ConfigType, InvalidConfigError
from broker.controller.decisions.configs import AlterOp
from broker.controller.image import ImageChange
from broker.controller.names import name_problem
from broker.controller.ports import (
    RESOURCE_BROKER,
    RESOURCE_BROKER_LOGGER,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_GROUP,
    RESOURCE_TOPIC,
    ConfigResource,
)
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError

if TYPE_CHECKING:
    from broker.controller.controller import Controller

log = logging.getLogger("kwire.config")

APPEND: Final = 2
SUBTRACT: Final = 3

# The text of Kafka's InvalidRequest error without one of its own.
_MALFORMED: Final = (
    "This most likely occurs because of a request being malformed by the client library or the message was sent to an "
    "incompatible broker. See the broker logs for more details."
)
_ALL_TYPES: Final = (
    RESOURCE_TOPIC,
    RESOURCE_BROKER,
    RESOURCE_BROKER_LOGGER,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_GROUP,
)


class Change(NamedTuple):
    """One setting's change. operation: 0 set, 1 delete, 2 append, 3 subtract."""

    name: str
    operation: int
    value: str | None


class ResourceChanges(NamedTuple):
    """What to change on one resource, in the order given."""

    resource_type: int
    resource_name: str
    changes: Sequence[Change]


class ConfigAdmin:
    """See the module. Follows the controller: what is set on the broker comes into force in `config`.

    Make it when the controller has loaded its log.
    """

    def __init__(self, config: BrokerConfig, controller: Controller, loggers: Loggers | None = None) -> None:
        self._config = config
        self._controller = controller
        self._loggers = loggers or Loggers()
        self._apply_dynamic()
        controller.on_change(self._changed)

    # -- following the controller

    def _changed(self, change: ImageChange) -> None:
        if any(resource.type == RESOURCE_BROKER for resource in change.configs):
            self._apply_dynamic()

    def _apply_dynamic(self) -> None:
        image, config = self._controller.image, self._config
        config.set_dynamic(
            self._usable(image.configs(RESOURCE_BROKER, "")),
            self._usable(image.configs(RESOURCE_BROKER, str(config.node_id))),
        )

    def _usable(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Without values that cannot be read: they were checked before they were written, but maybe by other rules."""
        usable = {}
        for name, text in texts.items():
            definition = self._config.definition(name)
            try:
                if definition is not None:
                    definition.parse(text)
            except InvalidConfigError as error:
                log.error("A setting in the metadata log is ignored: %s", error)
            else:
                usable[name] = text
        return usable

    # -- describing

    def describe(self, resource_type: int, name: str, *, documentation: bool = False) -> list[Described]:
        """Every setting of a resource. Raises ApiError."""
        image = self._controller.image
        if resource_type == RESOURCE_TOPIC:
            problem = name_problem(name)
            if problem is not None:
                raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
            topic = image.topic_by_name(name)
            if topic is None:
                raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            return describe_topic(self._config, topic.configs, documentation=documentation)
        if resource_type == RESOURCE_BROKER:
            if not name:
                return describe_broker_defaults(self._config, documentation=documentation)
            node_id = self._config.node_id
            if _broker_id(name, "Broker") != node_id:
                raise ApiError(
                    ErrorCode.INVALID_REQUEST,
                    f"Unexpected broker id, expected {node_id} or empty string, but received {name}",
                )
            return describe_broker(self._config, documentation=documentation)
        if resource_type == RESOURCE_BROKER_LOGGER:
            return self._describe_loggers(name)
        if resource_type == RESOURCE_CLIENT_METRICS:
            if not name:
                raise ApiError(ErrorCode.INVALID_REQUEST, "Client metrics subscription name must not be empty")
            return describe_client_metrics(image.configs(resource_type, name), documentation=documentation)
        if resource_type == RESOURCE_GROUP:
            if not name:
                raise ApiError(ErrorCode.INVALID_REQUEST, "Group name must not be empty")
            return describe_group(self._config, image.configs(resource_type, name), documentation=documentation)
        raise ApiError(ErrorCode.INVALID_REQUEST, _MALFORMED)

    def _describe_loggers(self, name: str) -> list[Described]:
        node_id = self._config.node_id
        if not name:
            raise ApiError(ErrorCode.INVALID_REQUEST, "Broker id must not be empty")
        if _broker_id(name, "Broker") != node_id:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unexpected broker id, expected {node_id} but received {name}")
        return [
            Described(logger, level, Source.BROKER_LOGGER, False, False, 0, (), None)
            for logger, level in self._loggers.levels().items()
        ]

    def list_resources(self, types: Sequence[int]) -> list[ConfigResource]:
        """The resources of these types, of all types when none is given. Raises ApiError UNSUPPORTED_VERSION."""
        if any(each not in _ALL_TYPES for each in types):
            raise ApiError(ErrorCode.UNSUPPORTED_VERSION)
        image = self._controller.image
        found: list[ConfigResource] = []
        for each in dict.fromkeys(types or _ALL_TYPES):
            if each == RESOURCE_TOPIC:
                names = [topic.name for topic in image.topics()]
            elif each in (RESOURCE_BROKER, RESOURCE_BROKER_LOGGER):
                names = [str(broker_id) for broker_id in sorted(image.brokers)]
            else:
                names = [resource.name for resource in image.config_resources(each)]
            found += [ConfigResource(each, name) for name in names]
        return found

    # -- changing

    async def alter(
        self, resources: Sequence[ResourceChanges], *, incremental: bool, validate_only: bool
    ) -> list[ApiError | None]:
        """Change settings; None for a resource where all went well, in the order given.

        incremental False: what is not named goes back to its default, and every change is a `set`.
        """
        errors: dict[int, ApiError | None] = {}
        times = Counter((each.resource_type, each.resource_name) for each in resources)
        for index, each in enumerate(resources):
            try:
                if times[(each.resource_type, each.resource_name)] > 1:
                    raise ApiError(ErrorCode.INVALID_REQUEST, "Each resource must appear at most once.")
                if self._judge(each, incremental=incremental, validate_only=validate_only):
                    errors[index] = None
            except ApiError as error:
                errors[index] = error
        rest = {
            ConfigResource(each.resource_type, each.resource_name): each.changes
            for index, each in enumerate(resources)
            if index not in errors
        }
        answers = await self._pass_on(rest, incremental=incremental, validate_only=validate_only) if rest else {}
        return [
            errors[index]
            if index in errors
            else answers.get(
                ConfigResource(each.resource_type, each.resource_name), ApiError(ErrorCode.UNKNOWN_SERVER_ERROR)
            )
            for index, each in enumerate(resources)
        ]

    def _judge(self, each: ResourceChanges, *, incremental: bool, validate_only: bool) -> bool:
        """What the broker decides. True when nothing is left for the controller. Raises ApiError."""
        names = [change.name for change in each.changes]
        if len(set(names)) != len(names):
            raise ApiError(ErrorCode.INVALID_REQUEST, "Error due to duplicate config keys")
        without = [change.name for change in each.changes if change.value is None and change.operation != DELETE]
        if without:
            raise ApiError(ErrorCode.INVALID_REQUEST, "Null value not supported for : " + ", ".join(without))
        if each.resource_type == RESOURCE_BROKER_LOGGER and incremental:
            self._alter_loggers(each, validate_only=validate_only)
            return True
        if each.resource_type == RESOURCE_BROKER:
            self._judge_broker(each, incremental=incremental)
        elif each.resource_type not in (RESOURCE_TOPIC, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP):
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown resource type {each.resource_type}")
        elif any(change.operation not in (SET, DELETE, APPEND, SUBTRACT) for change in each.changes):
            raise ApiError(ErrorCode.UNKNOWN_SERVER_ERROR)
        return False

    def _alter_loggers(self, each: ResourceChanges, *, validate_only: bool) -> None:
        node_id = self._config.node_id
        if _broker_id(each.resource_name, "Node") != node_id:
            raise ApiError(
                ErrorCode.INVALID_REQUEST,
                f"Unexpected node id. Expected {node_id}, but received {each.resource_name}",
            )
        changes = [LevelChange(change.name, change.operation, change.value) for change in each.changes]
        self._loggers.validate(changes)
        if not validate_only:
            self._loggers.apply(changes)

    def _judge_broker(self, each: ResourceChanges, *, incremental: bool) -> None:
        name, node_id = each.resource_name, self._config.node_id
        if name and _broker_id(name, "Node") != node_id:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unexpected broker id, expected {node_id}, but received {name}")
        settings: dict[str, str] = {}
        if incremental:
            settings.update(self._controller.image.configs(RESOURCE_BROKER, name))
        for change in each.changes:
            _apply(settings, change)
        validate_broker_change(self._config, settings, per_broker=bool(name))

    async def _pass_on(
        self, rest: Mapping[ConfigResource, Sequence[Change]], *, incremental: bool, validate_only: bool
    ) -> Mapping[ConfigResource, ApiError | None]:
        """The controller's answers; its refusal of the whole (its log cannot be written) is that of each."""
        try:
            return await self._ask_controller(rest, incremental=incremental, validate_only=validate_only)
        except ApiError as error:
            return dict.fromkeys(rest, error)

    async def _ask_controller(
        self, rest: Mapping[ConfigResource, Sequence[Change]], *, incremental: bool, validate_only: bool
    ) -> Mapping[ConfigResource, ApiError | None]:
        if incremental:
            operations = {
                resource: [(name, AlterOp(operation), value) for name, operation, value in changes]
                for resource, changes in rest.items()
            }
            return await self._controller.incremental_alter_configs(operations, validate_only=validate_only)
        wanted = {
            resource: {change.name: change.value or "" for change in changes} for resource, changes in rest.items()
        }
        return await self._controller.alter_configs(wanted, validate_only=validate_only)


def _broker_id(name: str, what: str) -> int:
    try:
        return int(name)
    except ValueError:
        raise ApiError(ErrorCode.INVALID_REQUEST, f"{what} id must be an integer, but it is: {name}") from None


def _apply(settings: dict[str, str], change: Change) -> None:
    """One change to a broker's settings."""
    name, operation, value = change
    if operation == DELETE:
        settings.pop(name, None)
        return
    text = value or ""
    if operation == SET:
        settings[name] = text
        return
    if operation not in (APPEND, SUBTRACT):
        raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown operations type {operation}")
    definition = broker_definitions().get(name)
    if definition is None:
        raise ApiError(ErrorCode.INVALID_CONFIG, f"Unknown config name: {name}")
    if definition.kind is not ConfigType.LIST:
        verb = "append" if operation == APPEND else "subtract"
        raise ApiError(ErrorCode.INVALID_CONFIG, f"Config value {verb} is not allowed for config key: {name}")
    current = settings.get(name, definition.default_text or "")
    entries = [entry for entry in current.split(",") if entry]
    given = text.split(",")
    if operation == APPEND:
        entries += [entry for entry in given if entry not in entries]
    else:
        entries = [entry for entry in entries if entry not in given]
    settings[name] = ",".join(entries)
