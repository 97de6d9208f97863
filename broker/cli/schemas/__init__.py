"""Schemas of requests that kafka-python has no class for, in the form it reads."""
