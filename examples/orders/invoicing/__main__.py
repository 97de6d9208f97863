"""python -m invoicing: the service, with settings from the environment."""

from __future__ import annotations

import logging
import os
import signal

from invoicing.service import Service, Settings

_RATES = {"DE": 0.19, "FR": 0.2, "CH": 0.081}


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    service = Service(
        Settings(os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")), lambda country: _RATES.get(country, 0.0)
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: service.stop())
    service.run()


if __name__ == "__main__":
    main()
