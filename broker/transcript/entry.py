"""One request with its answer, as it is kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from broker.routes import api_name
from broker.transcript.details import TopicNames, errors_of, groups_of, plain, topics_of
from broker.transcript.records import without_records
from kwire import codec
from kwire.api_keys import ApiKey
from kwire.messages import response_class

if TYPE_CHECKING:
    from broker.interception import Exchange, Outcome

logger = logging.getLogger("kwire.transcript")

# Their bodies are secrets, or hold them.
_SECRET: Final = frozenset(
    {
        ApiKey.SASL_AUTHENTICATE,
        ApiKey.CREATE_DELEGATION_TOKEN,
        ApiKey.RENEW_DELEGATION_TOKEN,
        ApiKey.EXPIRE_DELEGATION_TOKEN,
        ApiKey.DESCRIBE_DELEGATION_TOKEN,
        ApiKey.ALTER_USER_SCRAM_CREDENTIALS,
    }
)
# Decoded objects take several times their bytes on the wire.
_ENTRY_BYTES: Final = 1_000
_PER_BYTE: Final = 6
_PER_BATCH_BYTES: Final = 400
_NOTE_BYTES: Final = 60


class Entry:
    """One exchange. Times: the cluster's clock. request, response: decoded, without records; None where there is none
    or it was too large to keep. size: about what it takes of memory.
    """

    __slots__ = (
        "_errors",
        "_groups",
        "_response",
        "_topics",
        "api",
        "began_at_ms",
        "client_id",
        "connection",
        "correlation_id",
        "latency_ms",
        "listener",
        "node",
        "notes",
        "omitted",
        "outcome",
        "request",
        "request_bytes",
        "response_bytes",
        "sequence",
        "size",
        "version",
    )

    def __init__(self, exchange: Exchange, samples: int) -> None:
        """Of a request that begins."""
        ctx = exchange.ctx
        connection = ctx.connection
        self.sequence = -1
        self.api = exchange.api
        self.version = ctx.api_version
        self.correlation_id = ctx.correlation_id
        self.client_id = ctx.client_id
        self.connection = f"{connection.peer_host}:{connection.peer_port}"
        self.listener = connection.listener
        self.node = connection.node_id
        self.began_at_ms = exchange.began_at_ms
        self.latency_ms = 0.0
        self.request_bytes = exchange.request_bytes
        self.response_bytes = 0
        self.outcome: Outcome = "open"
        self.notes: list[str] = exchange.notes
        self.omitted = False
        self.request: Any = None
        self._response: Any = None
        self._topics: dict[str, None] | None = None
        self._groups: dict[str, None] | None = None
        self._errors: dict[str, int] | None = None
        record_bytes = 0
        if self.api in _SECRET:
            self.omitted = True
        else:
            self.request, record_bytes = without_records(exchange.sent, samples)
        self.size = _ENTRY_BYTES + (self.request_bytes - record_bytes) * _PER_BYTE
        if record_bytes:
            self.size += _PER_BATCH_BYTES

    def end(self, exchange: Exchange, samples: int, body_bytes: int) -> None:
        """The answer is known. body_bytes: a request or answer of more (without records) is not kept."""
        self.latency_ms = exchange.ended_ms - exchange.began_ms
        self.outcome = exchange.outcome
        self.response_bytes = exchange.response_bytes
        kept = self.size - _ENTRY_BYTES
        notes_bytes = sum(len(note) + _NOTE_BYTES for note in exchange.notes)
        if self.api in _SECRET:
            self.size += notes_bytes
            self._errors = errors_of(exchange.response)
            return
        record_bytes = 0
        # An answer that is encoded stays so until somebody looks at it.
        response: Any = exchange.encoded
        if response is None:
            response, record_bytes = without_records(exchange.response, samples)
        answered = self.response_bytes - record_bytes
        if kept > body_bytes * _PER_BYTE:
            self.request, self.omitted, kept = None, True, 0
        if answered > body_bytes:
            self._errors = errors_of(exchange.response)
            response, self.omitted, answered = None, True, 0
        self._response = response
        self.size = _ENTRY_BYTES + notes_bytes + kept + (answered if type(response) is bytes else answered * _PER_BYTE)
        if record_bytes:
            self.size += _PER_BATCH_BYTES

    @property
    def name(self) -> str:
        """The API's: `Produce`."""
        return api_name(self.api)

    @property
    def response(self) -> Any:
        """Decoded; None without one."""
        response = self._response
        if type(response) is bytes:
            try:
                response = codec.decode(response_class(self.api), self.version, response)
            except Exception:
                logger.exception("cannot decode the %s answer that was kept", self.name)
                response = None
            self._response = response
        return response

    @property
    def errors(self) -> dict[str, int]:
        """How often each error is in the answer, by name."""
        if self._errors is None:
            self._errors = errors_of(self.response)
        return self._errors

    @property
    def groups(self) -> dict[str, None]:
        """What the request names."""
        if self._groups is None:
            self._groups = groups_of(self.request)
        return self._groups

    def topics(self, names: TopicNames) -> dict[str, None]:
        """What the request or the answer name."""
        if self._topics is None:
            self._topics = topics_of(self.request, names) | topics_of(self.response, names)
        return self._topics

    def plain_request(self) -> Any:
        """For JSON."""
        return None if self.request is None else plain(self.request, self.version)

    def plain_response(self) -> Any:
        """For JSON."""
        return None if self.response is None else plain(self.response, self.version)
