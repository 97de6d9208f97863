"""What kwire does not do yet fails at once with an error that names it; Kafka does it."""

import time
from collections.abc import Callable

import pytest

from compat_tests.java_clients.clients import Java
from compat_tests.java_clients.jvm import JavaError
from compat_tests.targets import Broker

pytestmark = pytest.mark.client("Java clients")

AT_ONCE_S = 10.0  # the clients' own patience is a minute


def works_or_is_refused(broker: Broker, action: Callable[[], object], *named: str) -> None:
    """On Kafka the action works; on kwire it ends at once with one of the named errors."""
    began = time.monotonic()
    if broker.kind == "kafka":
        action()
        return
    with pytest.raises(JavaError) as caught:
        action()
    assert time.monotonic() - began < AT_ONCE_S
    assert caught.value.kind in named, caught.value


@pytest.mark.capability("new group protocol: refused by name")
def test_consumer_group_protocol(java_unchecked: Java, broker: Broker) -> None:
    java = java_unchecked
    topic = java.create_topic()
    java.producer().send_values(topic, "v")
    consumer = java.consumer(java.fresh_name("group"), group_protocol="consumer")
    consumer.subscribe(topic)

    def poll() -> None:
        assert consumer.values(1) == ["v"]

    works_or_is_refused(broker, poll, "UnsupportedVersionException")
