"""The Python door of the test plane: a broker in a process of its own, its clusters, faults, clock and transcript.

Standard library and attrs only: the user's interpreter loads nothing of the server.
"""
