"""Clients of older Kafkas on the personalities of kwire, and what Kafka 3.9 answers to what 4.0 removed."""
