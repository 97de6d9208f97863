"""Declared contents: the topics, configs, records and committed offsets that a cluster begins with.

model.py        Contents, what is declared
parse.py        plain objects (decoded JSON or YAML) -> Contents; every mistake with its place
records.py      the part of it that is about seed records
flags.py        `--topic orders:6:cleanup.policy=compact`, KAFKA_CREATE_TOPICS
files.py        a YAML or JSON file -> Contents; lines and columns of mistakes
apply.py        Contents -> a Cluster
partitioning.py where a record without a partition goes
"""
