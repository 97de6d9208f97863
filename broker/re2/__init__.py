"""Regular expressions that clients send: RE2's syntax, matched in time linear in the text  (Kafka: com.google.re2j).

Python's `re` takes look-around and back-references, which RE2 refuses, and may take for ever on a pattern like
`(a+)+b`; a broker must do neither. A pattern becomes a small automaton whose states are followed all at once, and the
sets of states seen are remembered.
"""

from broker.re2.characters import PatternError
from broker.re2.pattern import Pattern

__all__ = ["Pattern", "PatternError"]
