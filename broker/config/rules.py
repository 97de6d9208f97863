"""What the controller must know of settings (broker.controller.ports.ConfigRules)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.config.broker_config import BrokerConfig
from broker.config.client_metrics_config import validate_client_metrics_configs
from broker.config.definitions import (
    ConfigDefinition,
    broker_definitions,
    client_metrics_definitions,
    group_definitions,
)
from broker.config.describe import Layers, describe_topic
from broker.config.group_config import validate_group_configs
from broker.config.topic_config import validate_topic_configs
from broker.config.values import ConfigType
from broker.controller.names import name_problem
from broker.controller.ports import (
    RESOURCE_BROKER,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_GROUP,
    RESOURCE_TOPIC,
    ConfigEntry,
    ConfigResource,
)
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError


class Rules:
    """The rules of one broker's settings; see ConfigRules for what each method is for."""

    def __init__(self, config: BrokerConfig) -> None:
        self._config = config
        self._topic_entries: list[ConfigEntry] | None = None
        config.on_change(self._forget)

    def _forget(self, _config: BrokerConfig) -> None:
        self._topic_entries = None

    def definition(self, resource: ConfigResource, name: str) -> ConfigDefinition | None:
        """What is known of the setting `name` of that kind of resource."""
        return self._definitions(resource.type).get(name)

    def is_list(self, resource: ConfigResource, name: str) -> bool:
        definition = self.definition(resource, name)
        return definition is not None and definition.kind is ConfigType.LIST

    def default_value(self, resource: ConfigResource, name: str) -> str | None:
        definition = self.definition(resource, name)
        return None if definition is None else definition.default_text

    def validate(self, resource: ConfigResource, configs: Mapping[str, str], existing: Mapping[str, str]) -> None:
        name = resource.name
        if resource.type == RESOURCE_TOPIC:
            if not name:
                raise ApiError(ErrorCode.INVALID_REQUEST, "Default topic resources are not allowed.")
            problem = name_problem(name)
            if problem is not None:
                raise ApiError(ErrorCode.INVALID_TOPIC_EXCEPTION, problem)
            validate_topic_configs(
                configs,
                self._config.topic_defaults(),
                self._config.topic_definitions,
                remote_storage=self._config.get_bool("remote.log.storage.system.enable"),
            )
        elif resource.type == RESOURCE_BROKER:
            _check_broker_name(name)
        elif resource.type == RESOURCE_CLIENT_METRICS:
            validate_client_metrics_configs(name, configs)
        elif resource.type == RESOURCE_GROUP:
            if not name:
                raise ApiError(ErrorCode.INVALID_REQUEST, "Default group resources are not allowed.")
            validate_group_configs(configs, self._config)
        else:
            raise ApiError(ErrorCode.INVALID_REQUEST, f"Unknown resource type {resource.type}")

    def topic_entries(
        self, topic: Mapping[str, str], broker: Mapping[str, str], cluster: Mapping[str, str]
    ) -> Sequence[ConfigEntry]:
        config = self._config
        in_force = broker == config.dynamic_broker and cluster == config.dynamic_default
        if not topic and in_force and self._topic_entries is not None:
            return self._topic_entries
        if in_force:
            described = describe_topic(config, topic)
        else:
            then = BrokerConfig(config.static)
            then.set_dynamic(cluster, broker)
            described = describe_topic(then, topic, layers=Layers(then))
        entries = [
            ConfigEntry(
                name=one.name,
                value=one.value,
                read_only=one.read_only,
                source=int(one.source),
                sensitive=one.sensitive,
            )
            for one in described
        ]
        if not topic and in_force:
            self._topic_entries = entries
        return entries

    def _definitions(self, resource_type: int) -> Mapping[str, ConfigDefinition]:
        if resource_type == RESOURCE_TOPIC:
            return self._config.topic_definitions
        if resource_type == RESOURCE_BROKER:
            return broker_definitions()
        if resource_type == RESOURCE_CLIENT_METRICS:
            return client_metrics_definitions()
        if resource_type == RESOURCE_GROUP:
            return group_definitions()
        return {}


def _check_broker_name(name: str) -> None:
    if not name:
        return
    try:
        negative = int(name) < 0
    except ValueError:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Unable to parse broker name as a base 10 number.") from None
    if negative:
        raise ApiError(ErrorCode.INVALID_REQUEST, "Invalid negative broker ID.")
