"""What went through a cluster: decoded requests and answers with their times, within bounds; off unless asked for.

transcript.py  the observer (broker.interception), the ring, who follows it
entry.py       one request with its answer, and what can be asked about it
records.py     batches in place of their bytes
details.py     topics, groups and errors a message names; messages as plain values
filters.py     which entries are wanted
"""
