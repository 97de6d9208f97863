"""Measurements of kwire beside Apache Kafka on the same machine: `python -m bench.run`."""
