"""Writes `kwire/messages` and the record classes of `kwire/internal` from Kafka's schemas.

    python -m tools.codegen --jars DIR --jars-version 4.3.1 --old-jar kafka-clients-3.9.1.jar    # reads the jars
    python -m tools.codegen                                                                      # from the kept data

What it writes is committed and is source like any other; `tests/kwire/data/schemas.json.xz` is what the tests compare
it with.
"""
