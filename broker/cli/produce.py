"""`kwire produce`: lines of standard input or of files, as records, into a topic of any Kafka."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from attrs import define, field

from broker.cli.client import Kafka, kafka_options, reason
from broker.cli.completion import complete_topics
from broker.cli.metadata import found_topics
from broker.cli.output import CommandError, Output, counted, output_options, shown_bytes
from broker.cli.record_format import FormatError, delimiter
from broker.cli.record_input import (
    Input,
    InputError,
    Reader,
    check_writable,
    completed,
    format_reader,
    header_option,
    plain_reader,
    read_json,
    split,
)

# Records under way at most: more only fill the memory of this process.
_MAX_UNDER_WAY: Final = 20_000
_MAX_BYTES_UNDER_WAY: Final = 32 << 20
_BATCH_BYTES: Final = 256 << 10
_MAX_REQUEST_BYTES: Final = 100 << 20
# A broker that went away is told after this long, not after kafka-python's two minutes.
_PATIENCE_MS: Final = 30_000
_PROGRESS_EVERY: Final = 10_000
_UNKNOWN_TOPIC: Final = 3


@define
class _Sent:
    """What became of the records so far."""

    records: int = 0
    bytes: int = 0
    under_way_bytes: int = 0
    partitions: dict[int, int] = field(factory=dict)
    waiting: deque[tuple[Any, int]] = field(factory=deque)

    def settle(self, most: int, most_bytes: int) -> None:
        """Wait for the oldest until no more than so many are under way. Raises KafkaError of one that failed."""
        while self.waiting and (len(self.waiting) > most or self.under_way_bytes > most_bytes):
            future, size = self.waiting.popleft()
            metadata = future.get()
            self.under_way_bytes -= size
            self.partitions[metadata.partition] = self.partitions.get(metadata.partition, 0) + 1
            self.records += 1
            self.bytes += size


@click.command(
    short_help="Write records from standard input or files.",
    epilog="""\b
Examples:
  echo hello | kwire produce orders
  kwire produce orders -k customer-1 -H source=test < orders.txt
  printf 'a:1\\nb:2\\n' | kwire produce orders -K :
  kwire produce orders -T -K : <<< 'a:'                  a tombstone for key a
  kwire consume orders -e --json | kwire produce copy -J
  kwire produce images --whole cat.png dog.png -z zstd
""",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.argument("arguments", nargs=-1, metavar="[TOPIC] [FILE]...", shell_complete=complete_topics)
@click.option("-t", "--topic", metavar="NAME", help="Instead of TOPIC.", shell_complete=complete_topics)
@click.option("-k", "--key", help="The key of records that have none of their own.")
@click.option("-K", "--key-delimiter", metavar="DELIM", help="What parts a line's key from its value.")
@click.option("-D", "--delimiter", "mark", default="\\n", show_default=True, help="What parts records.")
@click.option("-f", "--format", "form", help="A line's form: %k, %s, %p, %T, %h and what parts them, as in '%k:%s'.")
@click.option("-J", "--from-json", is_flag=True, help="Lines are JSON as `kwire consume --json` or `kcat -J` print it.")
@click.option("-w", "--whole", is_flag=True, help="Each file (or all of standard input) is one record.")
@click.option("-H", "--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header; many times.")
@click.option("-p", "--partition", type=click.IntRange(min=0), help="Where to.  [default: by the key]")
@click.option("-T", "-Z", "--tombstone", is_flag=True, help="Empty values are null.")
@click.option("--timestamp", metavar="TIME", help="Of every record: milliseconds or a date.  [default: now]")
@click.option(
    "-z",
    "--compression",
    "--compress",
    type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]),
    default="none",
    help="Compress batches.",
)
@click.option("-c", "--count", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("--acks", type=click.Choice(["all", "-1", "1", "0"]), default="all", show_default=True)
@click.option("--idempotent/--no-idempotent", default=True, show_default=True, help="No duplicates by retries.")
@click.option("--transactional-id", metavar="ID", help="All records in one transaction of this id.")
@click.option(
    "--allow-auto-topic-creation", "--create", "create", is_flag=True, help="A topic that is missing is created."
)
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all went well.")
@kafka_options
@output_options
def produce(
    arguments: tuple[str, ...],
    topic: str | None,
    key: str | None,
    key_delimiter: str | None,
    mark: str,
    form: str | None,
    from_json: bool,
    whole: bool,
    headers: tuple[str, ...],
    partition: int | None,
    tombstone: bool,
    timestamp: str | None,
    compression: str,
    count: int | None,
    acks: str,
    idempotent: bool,
    transactional_id: str | None,
    create: bool,
    quiet: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Write each line of standard input, or of FILEs, as a record."""
    if topic is None:
        if not arguments:
            raise click.UsageError("name a topic: kwire produce TOPIC")
        topic, *rest = arguments
    else:
        rest = list(arguments)
    files = [Path(name) for name in rest if name != "-"]
    for path in files:
        if not path.is_file():
            raise click.UsageError(f"{path} is no file")
    reader = _reader(key_delimiter, form, from_json, whole)
    try:
        marked = delimiter(mark)
        added = tuple(header_option(text) for text in headers)
    except (FormatError, InputError) as error:
        raise click.UsageError(str(error)) from None
    from broker.cli.when import moment_ms

    stamp = None if timestamp is None else int(timestamp) if timestamp.isdigit() else moment_ms(timestamp)
    key_bytes = None if key is None else key.encode("utf-8", "surrogateescape")

    def records() -> Iterator[Input]:
        for number, line in enumerate(_lines(files, marked, whole), 1):
            try:
                record = reader(line)
                record = completed(
                    record,
                    key=key_bytes,
                    headers=added,
                    partition=partition,
                    timestamp_ms=stamp,
                    null=tombstone,
                )
                check_writable(record)
            except InputError as error:
                raise CommandError(f"record {number}: {error}") from None
            yield record
            if number == count:
                return

    number = {"all": -1}.get(acks)
    settings = {
        "acks": int(acks) if number is None else number,
        "enable_idempotence": idempotent and acks in ("all", "-1"),
        "compression_type": None if compression == "none" else compression,
        "linger_ms": 0 if sys.stdin.isatty() and not files else 5,
        "batch_size": _BATCH_BYTES,
        "max_request_size": _MAX_REQUEST_BYTES,
        "request_timeout_ms": _PATIENCE_MS // 2,
        "max_block_ms": _PATIENCE_MS // 2,
        "delivery_timeout_ms": _PATIENCE_MS,
        "allow_auto_create_topics": create,
        "transactional_id": transactional_id,
    }
    with kafka.admin() as admin:
        _check_topic(admin, topic, create, partition)
    sent = _Sent()
    if sys.stdin.isatty() and not files and not quiet:
        output.say(f"Each line is a record of {topic}; Ctrl-D ends.")
    try:
        with kafka.producer(**settings) as producer:
            _send_all(producer, topic, records(), sent, transactional_id is not None)
    except CommandError as error:
        if not sent.records:
            raise
        raise CommandError(f"after {counted(sent.records, 'record')}: {error.message}", hint=error.hint) from None
    if not quiet:
        said = {
            "topic": topic,
            "records": sent.records,
            "bytes": sent.bytes,
            "partitions": {str(index): each for index, each in sorted(sent.partitions.items())},
        }
        output.done(f"Wrote {counted(sent.records, 'record')} ({shown_bytes(sent.bytes)}) to {topic}.", said)


def _reader(key_delimiter: str | None, form: str | None, from_json: bool, whole: bool) -> Reader:
    if sum((key_delimiter is not None, form is not None, from_json, whole)) > 1:
        raise click.UsageError("--key-delimiter, --format, --from-json and --whole exclude each other")
    try:
        if form is not None:
            return format_reader(form)
        if from_json:
            return read_json
        return plain_reader(None if key_delimiter is None else delimiter(key_delimiter))
    except FormatError as error:
        raise click.UsageError(str(error)) from None


def _lines(files: list[Path], mark: bytes, whole: bool) -> Iterator[bytes]:
    streams: list[BinaryIO | Path] = [*files] if files else [sys.stdin.buffer]
    for stream in streams:
        if isinstance(stream, Path):
            try:
                with stream.open("rb") as file:
                    yield from [file.read()] if whole else split(file, mark)
            except OSError as error:
                raise CommandError(f"{stream}: {error.strerror}") from None
            except InputError as error:
                raise CommandError(f"{stream}: {error}") from None
        else:
            yield from [stream.read()] if whole else split(stream, mark)


def _check_topic(admin: Any, topic: str, create: bool, partition: int | None) -> None:
    if create:
        answers = admin.create_topics({topic: {}}, raise_errors=False)["topics"]
        code = answers[0]["error_code"]
        if code not in (0, 36):
            raise CommandError(f"{topic}: {reason(code, answers[0]['error_message'])}")
        if not code:
            admin.wait_for_topics([topic])
    try:
        (found,) = found_topics(admin, [topic])
    except CommandError as error:
        if "there is no topic" in error.message:
            error.hint = f"Create it: kwire topics create {topic}, or give --create. {error.hint or ''}".strip()
        raise
    count = len(found["partitions"])
    if partition is not None and partition >= count:
        raise CommandError(f"{topic} has partitions 0 to {count - 1}, not {partition}")


def _send_all(producer: Any, topic: str, records: Iterator[Input], sent: _Sent, transactional: bool) -> None:
    if transactional:
        producer.init_transactions()
        producer.begin_transaction()
    progress = _Progress(sent)
    try:
        for record in records:
            size = len(record.key or b"") + len(record.value or b"")
            future = producer.send(
                topic,
                record.value,
                record.key,
                list(record.headers),
                record.partition,
                record.timestamp_ms,
            )
            sent.waiting.append((future, size))
            sent.under_way_bytes += size
            sent.settle(_MAX_UNDER_WAY, _MAX_BYTES_UNDER_WAY)
            progress.tell()
        producer.flush()
        sent.settle(0, 0)
        if transactional:
            producer.commit_transaction()
    except BaseException:
        if transactional:
            producer.abort_transaction()
        raise
    finally:
        progress.clear()


@define
class _Progress:
    """A line on a terminal that is written over, for large input."""

    sent: _Sent
    count: int = 0
    told: bool = False

    def tell(self) -> None:
        self.count += 1
        if self.count % _PROGRESS_EVERY == 0 and sys.stderr.isatty() and not sys.stdin.isatty():
            self.told = True
            sys.stderr.write(f"\r{self.sent.records:,} records, {shown_bytes(self.sent.bytes)} ")
            sys.stderr.flush()

    def clear(self) -> None:
        if self.told:
            sys.stderr.write("\r\033[K")
