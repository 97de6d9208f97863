"""`/v1/clusters/{cluster}/transcript`: what went through, settings, and a stream of what goes through."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from attrs import evolve
from msgspec import Meta

from broker.control.plane import cluster_of
from broker.http.bodies import encode
from broker.http.endpoint import Call, ControlError, Endpoint, Event, EventStream, Text
from broker.interception import Outcome
from broker.routes import api_name
from broker.transcript.entry import Entry
from broker.transcript.filters import ANY_ERROR, NO_ERROR, Filter
from broker.transcript.transcript import Follower, Transcript, TranscriptSettings
from kwire.api_keys import ApiKey
from kwire.error_codes import ErrorCode

JSON_LINES: Final = "application/x-ndjson"
MOST_ENTRIES: Final = 100_000
MOST_BYTES: Final = 1024 * 1024 * 1024

_APIS: Final = {api_name(key).lower(): key for key in ApiKey} | {str(int(key)): key for key in ApiKey}
_ERRORS: Final = {
    **{code.name: code.name for code in ErrorCode},
    **{str(int(code)): code.name for code in ErrorCode},
    "ANY": ANY_ERROR,
    "NONE": NO_ERROR,
    "0": NO_ERROR,
}


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """enabled: while it is not, requests cost nothing more. entries, bytes: of memory, at most; the oldest go.
    body_bytes: of a request or answer of more only its head is kept. samples: of so many first records of each
    partition key and value are kept.
    """

    enabled: bool | None = None
    entries: Annotated[int, Meta(ge=1, le=MOST_ENTRIES)] | None = None
    bytes: Annotated[int, Meta(ge=10_000, le=MOST_BYTES)] | None = None
    body_bytes: Annotated[int, Meta(ge=0, le=100_000_000)] | None = None
    samples: Annotated[int, Meta(ge=0, le=100)] | None = None


class ExchangeView(msgspec.Struct):
    """A request and its answer.

    sequence: counts answers; -1 while there is none. began_ms: the cluster's wall clock; latency_ms: its time too.
    request_bytes, response_bytes: frames, without their four bytes of size. errors: how often each is in the answer.
    notes: what faults did. request, response: Kafka's fields by their names in snake_case; records are summed up;
    omitted: something of them was too large, or secret, to be kept.
    """

    sequence: int
    node: int
    listener: str
    connection: str
    client_id: str | None
    api: str
    version: int
    correlation_id: int
    began_ms: int
    latency_ms: float
    request_bytes: int
    response_bytes: int
    outcome: Outcome
    errors: dict[str, int]
    topics: list[str]
    groups: list[str]
    notes: list[str]
    omitted: bool
    request: Any
    response: Any


class TranscriptView(msgspec.Struct):
    """settings: in force. first_sequence, next_sequence: what is kept. dropped: entries that had to go. exchanges: in
    the order of their answers, the newest when they are more than the limit. open: requests without an answer so far.
    """

    enabled: bool
    settings: Settings
    first_sequence: int
    next_sequence: int
    kept: int
    bytes: int
    dropped: int
    exchanges: list[ExchangeView]
    open: list[ExchangeView]


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """api: by name, may be repeated. error: an error code's name, "any" or "none", may be repeated. faults: only what
    a fault was done to. since: a sequence number. bodies: with requests and answers.
    """

    api: list[str] = []
    client_id: str | None = None
    group: str | None = None
    topic: str | None = None
    node: int | None = None
    connection: str | None = None
    error: list[str] = []
    outcome: list[Outcome] = []
    faults: bool = False
    since: Annotated[int, Meta(ge=0)] | None = None
    bodies: bool = True


class WantedList(Wanted, forbid_unknown_fields=True):
    """limit: of exchanges, the newest."""

    limit: Annotated[int, Meta(ge=0, le=MOST_ENTRIES)] = 100


def filter_of(wanted: Wanted, since: int | None = None) -> Filter:
    """Raises ControlError for an API or error nobody knows."""
    return Filter(
        apis=frozenset(_api(name) for name in wanted.api),
        client_id=wanted.client_id,
        group=wanted.group,
        topic=wanted.topic,
        node=wanted.node,
        connection=wanted.connection,
        errors=frozenset(_error(name) for name in wanted.error),
        outcomes=frozenset(wanted.outcome),
        affected=wanted.faults,
        since=(wanted.since or 0) if since is None else since,
    )


def _api(name: str) -> ApiKey:
    found = _APIS.get(name.lower().replace("_", ""))
    if found is None:
        raise ControlError(
            400, "invalid_query", f"api: there is no API {name[:100]!r}", allowed=[api_name(key) for key in ApiKey]
        )
    return found


def _error(name: str) -> str:
    found = _ERRORS.get(name.upper())
    if found is None:
        raise ControlError(
            400,
            "invalid_query",
            f"error: there is no error {name[:100]!r}",
            allowed=[ANY_ERROR, NO_ERROR, *(code.name for code in ErrorCode if code)],
        )
    return found


def view(entry: Entry, transcript: Transcript, *, bodies: bool = True) -> ExchangeView:
    """An entry as it is told."""
    return ExchangeView(
        sequence=entry.sequence,
        node=entry.node,
        listener=entry.listener,
        connection=entry.connection,
        client_id=entry.client_id,
        api=entry.name,
        version=entry.version,
        correlation_id=entry.correlation_id,
        began_ms=entry.began_at_ms,
        latency_ms=round(entry.latency_ms, 3),
        request_bytes=entry.request_bytes,
        response_bytes=entry.response_bytes,
        outcome=entry.outcome,
        errors=entry.errors,
        topics=list(entry.topics(transcript.topic_name)),
        groups=list(entry.groups),
        notes=list(entry.notes),
        omitted=entry.omitted,
        request=entry.plain_request() if bodies else None,
        response=entry.plain_response() if bodies else None,
    )


def _transcript(call: Call) -> Transcript:
    return call.plane.transcripts.of(cluster_of(call))


def show_transcript(call: Call) -> TranscriptView | Text:
    transcript, query = _transcript(call), call.query
    wanted = filter_of(query)
    entries = transcript.last(wanted, query.limit)
    if call.accepts(JSON_LINES):
        lines = [encode(view(each, transcript, bodies=query.bodies)) for each in entries]
        return Text(b"".join(line + b"\n" for line in lines), JSON_LINES)
    of_open_ones = evolve(wanted, outcomes=frozenset(), since=-1)
    shown = _view(transcript)
    shown.exchanges = [view(each, transcript, bodies=query.bodies) for each in entries]
    if not wanted.errors and not wanted.affected and (not wanted.outcomes or "open" in wanted.outcomes):
        matching = [each for each in transcript.open_ones if of_open_ones.matches(each, transcript.topic_name)]
        shown.open = [view(each, transcript, bodies=query.bodies) for each in matching[: query.limit]]
    return shown


def _view(transcript: Transcript) -> TranscriptView:
    settings = transcript.settings
    return TranscriptView(
        enabled=settings.enabled,
        settings=Settings(settings.enabled, settings.entries, settings.bytes, settings.body_bytes, settings.samples),
        first_sequence=transcript.first_sequence,
        next_sequence=transcript.next_sequence,
        kept=len(transcript.entries),
        bytes=transcript.bytes,
        dropped=transcript.dropped,
        exchanges=[],
        open=[],
    )


def clear_transcript(call: Call) -> None:
    _transcript(call).clear()


def change_settings(call: Call, body: Settings) -> TranscriptView:
    transcript = _transcript(call)
    now = transcript.settings
    transcript.change(
        TranscriptSettings(
            enabled=True if body.enabled is None else body.enabled,
            entries=now.entries if body.entries is None else body.entries,
            bytes=now.bytes if body.bytes is None else body.bytes,
            body_bytes=now.body_bytes if body.body_bytes is None else body.body_bytes,
            samples=now.samples if body.samples is None else body.samples,
        )
    )
    return _view(transcript)


def follow_transcript(call: Call) -> EventStream:
    transcript, query = _transcript(call), call.query
    if not transcript.settings.enabled:
        raise ControlError(
            409,
            "transcript_off",
            "the transcript of this cluster is off: turn it on with PUT "
            f'/v1/clusters/{call.path["cluster"]}/transcript {{"enabled": true}}',
        )
    resumed = _last_event_id(call)
    wanted = filter_of(query, None if resumed is None else resumed + 1)
    bodies = query.bodies
    stream = EventStream()
    if resumed is not None or query.since is not None:
        if transcript.first_sequence > wanted.since:
            stream.send(Event({"dropped": transcript.first_sequence - wanted.since}, "dropped"))
        for entry in list(transcript.find(wanted))[::-1]:
            stream.send(_event(entry, transcript, bodies=bodies))

    def tell(entry: Entry) -> None:
        if wanted.matches(entry, transcript.topic_name):
            stream.send(_event(entry, transcript, bodies=bodies))

    stream.on_close = transcript.follow(Follower(tell, stream.end))
    return stream


def _event(entry: Entry, transcript: Transcript, *, bodies: bool) -> Event:
    def data() -> ExchangeView:
        return view(entry, transcript, bodies=bodies)

    return Event(data, "exchange", str(entry.sequence), entry.size)


def _last_event_id(call: Call) -> int | None:
    text = call.headers.get("last-event-id")
    if not text:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise ControlError(400, "invalid_last_event_id", f"Last-Event-ID is the id of an event, not {text[:100]!r}")
    return int(text)


_PATH: Final = "/v1/clusters/{cluster}/transcript"
endpoints = [
    Endpoint(
        "GET",
        _PATH,
        show_transcript,
        query=WantedList,
        answer=TranscriptView,
        produces=[JSON_LINES],
        summary="Requests and answers",
        description=f"With Accept: {JSON_LINES} the exchanges alone, one a line.",
        tag="transcript",
    ),
    Endpoint(
        "PUT",
        _PATH,
        change_settings,
        body=Settings,
        answer=TranscriptView,
        summary="Turn on, off, or change how much is kept",
        description="What is left out stays; enabled left out is true.",
        tag="transcript",
    ),
    Endpoint("DELETE", _PATH, clear_transcript, summary="Forget what is kept", tag="transcript"),
    Endpoint(
        "GET",
        f"{_PATH}/events",
        follow_transcript,
        query=Wanted,
        answer=EventStream,
        event=ExchangeView,
        summary="Exchanges as they are answered",
        description="Server-sent events named `exchange`, their id is the sequence number. With since, or with"
        " Last-Event-ID when a client comes again, it begins with what is kept from there on.",
        tag="transcript",
    ),
]
