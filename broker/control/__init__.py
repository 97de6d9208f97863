"""The endpoints of the test plane, one module a feature: each has `endpoints: list[Endpoint]`, joined in `table`.

A module knows clusters and what is in them, and nothing of sockets.
"""
