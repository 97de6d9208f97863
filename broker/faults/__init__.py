"""Fault rules of one cluster: what they match, how often they act, and what they do to requests, disks and listeners.

layouts.py   where a request names topics, partitions, groups, and where its answer tells of each
answers.py   errors in an API's own shape: for the whole, or for some elements beside the handler's answer
spec.py      a rule as it is written: fields, what is allowed
rules.py     matching, counting, expiry; pure
acting.py    the interceptor: what a rule does to a request
disk.py      errors of the disk, by the storage seam
faults.py    Faults: the rules of a cluster; installs what is needed, and nothing while no rule is active
"""
