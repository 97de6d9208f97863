"""The JVM of the Java tests, and the rule that clients warn of nothing that Kafka gives them no cause to warn of."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compat_tests.java_clients.clients import Java
from compat_tests.java_clients.jvm import Jvm
from compat_tests.targets import Broker, OwnBroker, TargetUnavailableError

WARNINGS = Path(__file__).resolve().parent.parent / "data" / "java_warnings.json"
_VOLATILE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"(?<=[iI]d )[A-Za-z0-9_-]{22}\b"), "<id>"),
    (re.compile(r"/[\w./-]*kwire-compat-[\w./-]*"), "<path>"),
    (re.compile(r"\d+"), "N"),
)


# Said when an answer comes after the client has lost interest: a matter of moments, on Kafka as well.
_TIMING = re.compile(r"Not updating (high watermark|last stable offset) for partition \S+ as it is no longer assigned$")


def normalized(line: str) -> str:
    """A log line without what differs from run to run: numbers, ids, paths."""
    for pattern, replacement in _VOLATILE:
        line = pattern.sub(replacement, line)
    return line


@pytest.fixture(scope="session")
def jvm(scratch: Path) -> Iterator[Jvm]:
    """The JVM that all tests share; they are skipped where Java, or Kafka's jars, cannot be had."""
    try:
        made = Jvm(scratch / "java-clients.log")
    except TargetUnavailableError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture(scope="session")
def _allowed_warnings(request: pytest.FixtureRequest, target_name: str) -> Iterator[dict[str, list[str]]]:
    allowed: dict[str, list[str]] = json.loads(WARNINGS.read_text()) if WARNINGS.exists() else {}
    yield allowed
    if request.config.getoption("--record") and target_name == "kafka":
        WARNINGS.write_text(json.dumps({k: v for k, v in sorted(allowed.items()) if v}, indent=1) + "\n")


def _check_warnings(jvm: Jvm, request: pytest.FixtureRequest, kind: str, allowed_by_test: dict[str, list[str]]) -> None:
    seen = sorted({normalized(line) for line in jvm.call("log.take") if not _TIMING.search(line)})
    test = f"{request.node.path.stem}::{request.node.name}"
    if kind == "kafka":
        # What a client logs against Kafka is the measure; some of it depends on timing and does not come every time.
        if request.config.getoption("--record"):
            allowed_by_test[test] = sorted({*allowed_by_test.get(test, []), *seen})
        return
    new = [line for line in seen if line not in allowed_by_test.get(test, [])]
    assert not new, "the client logged what it does not log against Kafka:\n" + "\n".join(new)


def _java(
    jvm: Jvm,
    bootstrap: str,
    kind: str,
    fresh_name: Callable[[str], str],
    request: pytest.FixtureRequest,
    allowed: dict[str, list[str]],
) -> Iterator[Java]:
    jvm.call("log.mark", text=request.node.nodeid)
    jvm.call("log.take")
    made = Java(jvm, bootstrap, fresh_name)
    yield made
    made.close()
    _check_warnings(jvm, request, kind, allowed)


@pytest.fixture
def java(
    jvm: Jvm,
    broker: Broker,
    fresh_name: Callable[[str], str],
    request: pytest.FixtureRequest,
    _allowed_warnings: dict[str, list[str]],
) -> Iterator[Java]:
    """Java clients and tools of the shared broker; afterwards what they logged is checked."""
    yield from _java(jvm, broker.plain, broker.kind, fresh_name, request, _allowed_warnings)


@pytest.fixture
def java_unchecked(
    jvm: Jvm, broker: Broker, fresh_name: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[Java]:
    """Clients of the shared broker where it is known to differ from Kafka: what they log is not checked."""
    jvm.call("log.mark", text=request.node.nodeid)
    made = Java(jvm, broker.plain, fresh_name)
    yield made
    made.close()
    jvm.call("log.take")


@pytest.fixture
def java_restartable(
    jvm: Jvm, restartable_broker: OwnBroker, fresh_name: Callable[[str], str], request: pytest.FixtureRequest
) -> Iterator[Java]:
    """Clients of the broker that the test may kill; what they log about that is not checked."""
    jvm.call("log.mark", text=request.node.nodeid)
    made = Java(jvm, restartable_broker.plain, fresh_name)
    yield made
    made.close()
    jvm.call("log.take")


@pytest.fixture
def java_tls(
    jvm: Jvm,
    broker: Broker,
    tls_bootstrap: str,
    fresh_name: Callable[[str], str],
    request: pytest.FixtureRequest,
    _allowed_warnings: dict[str, list[str]],
) -> Iterator[Java]:
    """The same over TLS."""
    assert broker.certificates is not None
    for made in _java(jvm, tls_bootstrap, broker.kind, fresh_name, request, _allowed_warnings):
        made.security = {
            "security.protocol": "SSL",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(broker.certificates.ca),
        }
        yield made
