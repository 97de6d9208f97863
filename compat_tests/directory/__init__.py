"""The data directory that kwire and Apache Kafka take turns with."""
