"""Load that a broker must bear: each module runs alone (`python -m bench.scenarios.idle_connections`), prints JSON, and
ends with status 1 when a threshold is missed."""
