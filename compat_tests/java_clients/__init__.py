"""Kafka's own Java clients and tools against the target."""
