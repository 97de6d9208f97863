"""`kwire consume`: records of topics of any Kafka, printed."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Iterator
from typing import IO, Final

import click
from attrs import define

from broker.cli.client import Kafka, kafka_options
from broker.cli.completion import complete_groups, complete_topics
from broker.cli.metadata import selected_topics, topic_names
from broker.cli.offset_range import OffsetError, OffsetRange, Position, offset_range
from broker.cli.output import NoBrokerError, Output, counted, output_options
from broker.cli.record_format import (
    FIELDS_HELP,
    Consumed,
    FormatError,
    as_json,
    as_kcat_json,
    compiled_format,
    delimiter,
    json_line,
    readable,
)

_POLL_MS: Final = 200
# After so many polls without a record the broker is looked for.
_SILENT_POLLS: Final = 25
_MAX_POLL_RECORDS: Final = 2000
_MAX_PARTITION_BYTES: Final = 8 << 20
Write = Callable[[Consumed], bytes]


@click.command(
    short_help="Print records of topics.",
    epilog=f"""\b
Examples:
  kwire consume orders                         from the beginning, and what comes
  kwire consume orders -e                      up to the end, then exit
  kwire consume orders -o -10 -e               the last ten of each partition
  kwire consume orders -o s@2026-01-31T12:00 -o e@2026-01-31T13:00
  kwire consume orders -o @-1h -e              the last hour
  kwire consume orders -g billing -c 100       as a member of a group; commits
  kwire consume orders payments -f '%t/%p@%o %k: %s\\n'
  kwire consume 'orders-.*' -r -o end

\b
Fields of -f:
  {FIELDS_HELP[: FIELDS_HELP.index("%h")]}
  {FIELDS_HELP[FIELDS_HELP.index("%h") :]}
""",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
@click.argument("positional", nargs=-1, metavar="[TOPIC]...", shell_complete=complete_topics)
@click.option("-t", "--topic", "options", multiple=True, metavar="NAME", shell_complete=complete_topics)
@click.option("-r", "--regex", is_flag=True, help="TOPICs are regular expressions that match whole names.")
@click.option("-p", "--partition", "--partitions", "only", multiple=True, metavar="N", help="Only these; 0,2 or 0-5.")
@click.option(
    "-o",
    "--offset",
    "ranges",
    multiple=True,
    metavar="WHERE",
    help="beginning (default), end, N, -N, +N, s@TIME, e@TIME, @TIME, A:B.",
)
@click.option("-c", "--count", "--num", type=click.IntRange(min=1), help="Stop after so many records.")
@click.option("-e", "--exit", "exit_at_end", is_flag=True, help="Stop at what is the end now.")
@click.option("-g", "--group", metavar="GROUP", help="Be a member of it and commit.", shell_complete=complete_groups)
@click.option("-f", "--format", "form", help="How to print a record, for example '%k: %s\\n'.")
@click.option("-J", "kcat_json", is_flag=True, help="JSON lines as `kcat -J` prints them.")
@click.option("-K", "--key-delimiter", metavar="DELIM", help="Print KEY, DELIM, value.")
@click.option("-D", "--delimiter", "mark", metavar="DELIM", help="What stands after each record, with -K.")
@click.option(
    "--isolation-level",
    type=click.Choice(["read_uncommitted", "read_committed"]),
    default="read_uncommitted",
    show_default=True,
    help="Whether records of open and aborted transactions are shown.",
)
@click.option("--read-committed", is_flag=True, help="The same as --isolation-level read_committed.")
@click.option("--no-commit", is_flag=True, help="With --group: commit nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Records only, no remarks.")
@kafka_options
@output_options
def consume(
    positional: tuple[str, ...],
    options: tuple[str, ...],
    regex: bool,
    only: tuple[str, ...],
    ranges: tuple[str, ...],
    count: int | None,
    exit_at_end: bool,
    group: str | None,
    form: str | None,
    kcat_json: bool,
    key_delimiter: str | None,
    mark: str | None,
    isolation_level: str,
    read_committed: bool,
    no_commit: bool,
    quiet: bool,
    kafka: Kafka,
    output: Output,
) -> None:
    """Print the records of topics, from the beginning and on as they come, until Ctrl-C."""
    from broker.cli.topics import partition_numbers

    names = topic_names(positional, options)
    if not names:
        raise click.UsageError("name a topic: kwire consume TOPIC")
    try:
        wanted = offset_range(ranges)
        write = _writer(output, form, kcat_json, key_delimiter, mark)
    except (OffsetError, FormatError) as error:
        raise click.UsageError(str(error)) from None
    if exit_at_end:
        if wanted.end is not None:
            raise click.UsageError("--exit and an end in --offset exclude each other")
        wanted = OffsetRange(wanted.begin, Position("end"))
    numbers = partition_numbers(only)
    if group is not None and (numbers or (wanted.end is not None and not exit_at_end)):
        raise click.UsageError("a member of a group takes what it is assigned: no --partition, no end in --offset")
    committed = read_committed or isolation_level == "read_committed"
    settings = {
        "isolation_level": "read_committed" if committed else "read_uncommitted",
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "latest" if wanted.begin.word == "end" else "earliest",
        "max_poll_records": _MAX_POLL_RECORDS,
        "max_partition_fetch_bytes": _MAX_PARTITION_BYTES,
        "exclude_internal_topics": False,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        # Before the first metadata is there kafka-python sleeps for as long as this.
        "retry_backoff_ms": 10,
    }
    stream = sys.stdout.buffer
    printed = 0
    with kafka.admin() as admin:
        topics = selected_topics(admin, names, regex=regex)
        from broker.cli.reading import Plan, read_group, read_partitions

        plan = None if group is not None else Plan.of(admin, topics, numbers, wanted, committed=committed)
    try:
        with kafka.consumer(**settings) as consumer:
            records: Iterator[list[Consumed]]
            if plan is not None:
                records = read_partitions(consumer, plan, _POLL_MS)
            else:
                records = read_group(
                    consumer,
                    [topic["name"] for topic in topics],
                    _POLL_MS,
                    most=count,
                    exit_at_end=exit_at_end,
                    commit=not no_commit,
                )
            silence = _Silence(kafka, exit_at_end, output)
            for batch in records:
                silence.heard(bool(batch))
                part = batch if count is None else batch[: count - printed]
                stream.write(b"".join(map(write, part)))
                stream.flush()
                printed += len(part)
                if printed == count or (not batch and nobody_reads(stream)):
                    break
            records.close()  # type: ignore[attr-defined]
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if not quiet and output.interactive:
        output.say(f"{counted(printed, 'record')}.")


def nobody_reads(stream: IO[bytes]) -> bool:
    """Whether this is a pipe whose other end is closed: no record would have to come to find that out."""
    poll = select.poll()
    try:
        poll.register(stream.fileno(), 0)
    except OSError:  # not a file of the system's
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


@define
class _Silence:
    """When nothing comes for a while: whether the broker is still there."""

    kafka: Kafka
    give_up: bool
    output: Output
    polls: int = 0
    told: bool = False

    def heard(self, anything: bool) -> None:
        """After each poll. Raises NoBrokerError when nobody answers and nobody wants to wait."""
        self.polls = 0 if anything else self.polls + 1
        if anything:
            self.told = False
        if self.polls % _SILENT_POLLS or not self.polls or self.told:
            return
        gone = self.kafka.unreachable()
        if gone is None:
            return
        if self.give_up:
            raise NoBrokerError(f"no broker answers any more at {gone}")
        self.told = True
        self.output.say(f"no broker answers at {gone}; waiting for it")


def _writer(output: Output, form: str | None, kcat_json: bool, key_delimiter: str | None, mark: str | None) -> Write:
    """How records are printed. Raises FormatError."""
    if sum((form is not None, kcat_json, key_delimiter is not None)) > 1:
        raise FormatError("--format, -J and --key-delimiter exclude each other")
    if form is not None:
        return compiled_format(form)
    if kcat_json:
        return lambda record: json_line(as_kcat_json(record))
    if key_delimiter is not None or mark is not None:
        between = b"" if key_delimiter is None else delimiter(key_delimiter)
        after = b"\n" if mark is None else delimiter(mark)
        with_key = key_delimiter is not None
        return lambda record: ((record.key or b"") + between if with_key else b"") + (record.value or b"") + after
    if output.as_json:
        return lambda record: json_line(as_json(record))
    return _for_a_person if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else _plain


def _plain(record: Consumed) -> bytes:
    return _line(record, lambda text, **_: text)


def _for_a_person(record: Consumed) -> bytes:
    return _line(record, click.style)


def _line(record: Consumed, style: Callable[..., str]) -> bytes:
    """`orders-0@17  key: value  header=1`"""
    text = style(f"{record.topic}-{record.partition}@{record.offset}", dim=True) + "  "
    if record.key is not None:
        text += style(readable(record.key), fg="cyan") + ": "
    text += style("NULL", dim=True) if record.value is None else readable(record.value)
    if record.headers:
        shown = " ".join(f"{name}={readable(value)}" for name, value in record.headers)
        text += "  " + style(shown, fg="yellow")
    return f"{text}\n".encode()
