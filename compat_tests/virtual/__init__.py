"""Virtual clusters and Apache Kafka."""
