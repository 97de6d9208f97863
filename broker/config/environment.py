"""Settings from environment variables, by the rule of the official container images (kafka.docker.KafkaDockerWrapper).

`KAFKA_NUM_PARTITIONS` is `num.partitions`; two underscores stand for one underscore, three for a dash. Variables that
mean something to the images' scripts or to the Java virtual machine are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_PREFIX: Final = "KAFKA_"

# Left out by the images' own wrapper.
_NOT_SETTINGS: Final = frozenset(
    {
        "KAFKA_GC_LOG_OPTS",
        "KAFKA_HEAP_OPTS",
        "KAFKA_JMX_HOSTNAME",
        "KAFKA_JMX_OPTS",
        "KAFKA_JVM_PERFORMANCE_OPTS",
        "KAFKA_LOG4J_LOGGERS",
        "KAFKA_LOG4J_OPTS",
        "KAFKA_LOG4J_ROOT_LOGLEVEL",
        "KAFKA_OPTS",
        "KAFKA_TOOLS_LOG4J_LOGLEVEL",
        "KAFKA_VERSION",
    }
)
# What the images' and Kafka's own start scripts read besides; there they end up as settings nobody knows.
_OF_SCRIPTS: Final = frozenset(
    {
        "KAFKA_CLUSTER_ID",
        "KAFKA_CREATE_TOPICS",
        "KAFKA_CREATE_TOPICS_SEPARATOR",
        "KAFKA_DEBUG",
        "KAFKA_HOME",
        "KAFKA_JMX_PORT",
        "KAFKA_LOG4J_CMD_OPTS",
        "KAFKA_MODE",
        "KAFKA_SSL_KEYSTORE_CREDENTIALS",
        "KAFKA_SSL_KEYSTORE_FILENAME",
        "KAFKA_SSL_KEY_CREDENTIALS",
        "KAFKA_SSL_TRUSTSTORE_CREDENTIALS",
        "KAFKA_SSL_TRUSTSTORE_FILENAME",
        "KAFKA_USER_OPTS",
    }
)
_ADVERTISED_HOST: Final = re.compile(r"://[^:]*:")


def settings_from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings among the variables.

    As in the images, `listeners` follows from KAFKA_ADVERTISED_LISTENERS with every host replaced by 0.0.0.0 when
    KAFKA_LISTENERS is not there. CLUSTER_ID is the id a new directory gets (`kwire.cluster.id`).
    """
    found: dict[str, str] = {}
    if environment.get("CLUSTER_ID"):
        found["kwire.cluster.id"] = environment["CLUSTER_ID"]
    for variable, value in environment.items():
        if variable.startswith(_PREFIX) and variable not in _NOT_SETTINGS and variable not in _OF_SCRIPTS:
            name = variable[len(_PREFIX) :].lower().replace("_", ".").replace("...", "-").replace("..", "_")
            if name:
                found[name] = value
    advertised = found.get("advertised.listeners", "")
    if advertised and not found.get("listeners"):
        found["listeners"] = _ADVERTISED_HOST.sub("://0.0.0.0:", advertised)
    return found
