from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "java: asks Kafka's classes; needs Java and Kafka's jars")
