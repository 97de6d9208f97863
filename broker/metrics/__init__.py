"""What `/metrics` tells, under the names that dashboards for Kafka know. Loaded when it is first asked for.

All of it is read from the broker's state when it is asked for; docs/METRICS.md lists the names.
"""
