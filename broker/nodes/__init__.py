"""Nodes of one cluster as clients see them: what is one per node, replicas, stopping and starting."""
