"""Settings of topics, brokers, groups, loggers and client metrics."""
