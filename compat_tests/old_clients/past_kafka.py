"""Apache Kafka 3.9.1, the last that speaks every version since 0.8: the oracle of the personalities."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from attrs import define

from compat_tests.targets import (
    KAFKA_JVM_FLAGS,
    REPOSITORY,
    KafkaBroker,
    TargetUnavailableError,
    find_java,
    maven_jars,
)
from tools.free_ports import free_ports

PAST_VERSION: Final = "3.9.1"
PAST_JARS: Final = REPOSITORY / ".cache" / f"kafka-{PAST_VERSION}-broker"


@define
class PastKafkaBroker(KafkaBroker):
    """One KRaft node of 3.9.1."""

    def _jvm(self, *flags: str) -> list[str]:
        log4j = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.xml'}"
        return [self.java, *KAFKA_JVM_FLAGS, *flags, log4j, "-cp", f"{PAST_JARS}/*"]


def past_kafka(directory: Path, *, fetch: bool) -> PastKafkaBroker:
    """A prepared broker. `fetch`: its jars are got from Maven Central where they are not in `.cache` yet.

    Raises TargetUnavailableError.
    """
    java = find_java()
    if not list(PAST_JARS.glob("kafka_2.13-*.jar")):
        if not fetch or shutil.which("mvn") is None:
            raise TargetUnavailableError(f"the jars of Kafka {PAST_VERSION} are not in .cache; --long fetches them")
        maven_jars(PAST_JARS, REPOSITORY / "compat_tests" / "kafka_past")
    directory.mkdir(parents=True, exist_ok=True)
    plain = f"127.0.0.1:{free_ports(1)[0]}"
    broker = PastKafkaBroker("kafka", plain, None, None, directory=directory, properties={}, java=java)
    broker.prepare()
    return broker
