"""Writes `broker/personality/data/api_versions.csv`: what brokers of each release line advertise to clients.

    python -m tools.releases --jars DIR        DIR holds a kafka-clients jar of each release line, and slf4j-api

The jars come from Maven: `mvn dependency:copy -DoutputDirectory=DIR -Dartifact=org.apache.kafka:kafka-clients:VERSION`.
"""
