"""The compatibility suite: the same tests against kwire, Apache Kafka, or any broker that is running."""
