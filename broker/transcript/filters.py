"""Which entries are wanted."""

from __future__ import annotations

from attrs import frozen

from broker.transcript.details import TopicNames
from broker.transcript.entry import Entry
from kwire.api_keys import ApiKey

ANY_ERROR = "any"
NO_ERROR = "none"


@frozen
class Filter:
    """Empty or None: whatever it is. since: entries with this sequence number and later ones.

    errors: names of error codes, "any", or "none". outcomes: as an Exchange has them. affected: only those that
    something was done to (faults).
    """

    apis: frozenset[ApiKey] = frozenset()
    client_id: str | None = None
    group: str | None = None
    topic: str | None = None
    node: int | None = None
    connection: str | None = None
    errors: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    affected: bool = False
    since: int = 0

    def matches(self, entry: Entry, names: TopicNames) -> bool:
        """names: of topics by id."""
        return (
            entry.sequence >= self.since
            and (not self.apis or entry.api in self.apis)
            and (self.client_id is None or entry.client_id == self.client_id)
            and (self.node is None or entry.node == self.node)
            and (self.connection is None or entry.connection == self.connection)
            and (not self.outcomes or entry.outcome in self.outcomes)
            and (not self.affected or bool(entry.notes))
            and (self.group is None or self.group in entry.groups)
            and (self.topic is None or self.topic in entry.topics(names))
            and (not self.errors or self._error(entry))
        )

    def _error(self, entry: Entry) -> bool:
        found = entry.errors
        if not found:
            return NO_ERROR in self.errors
        return ANY_ERROR in self.errors or not self.errors.isdisjoint(found)
