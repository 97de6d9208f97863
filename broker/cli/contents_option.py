"""`kwire serve --topic`, `--contents` and KAFKA_CREATE_TOPICS: what a broker begins with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from broker.config.sources import SettingsError
from broker.contents.apply import apply
from broker.contents.files import read_contents
from broker.contents.flags import topic_of, topics_of_environment
from broker.contents.model import Contents, ContentsError
from broker.start_error import StartError

if TYPE_CHECKING:
    from broker.cluster import Cluster

log = logging.getLogger("kwire")

VARIABLE: Final = "KAFKA_CREATE_TOPICS"
_SEPARATOR_VARIABLE: Final = "KAFKA_CREATE_TOPICS_SEPARATOR"
# Names in one line of the log.
_NAMED: Final = 10


def declared(topics: Sequence[str], files: Sequence[Path], environment: Mapping[str, str]) -> Contents:
    """All that is declared, from the environment, the files and the flags together. Raises SettingsError."""
    try:
        separator = environment.get(_SEPARATOR_VARIABLE) or ","
        contents = topics_of_environment(environment.get(VARIABLE, ""), separator)
        for path in files:
            contents = contents.joined(read_contents(path))
        for text in topics:
            try:
                contents = contents.joined(Contents((topic_of(text),)))
            except ContentsError as error:
                raise ContentsError(error.problems, "--topic") from None
    except ContentsError as error:
        raise SettingsError(str(error)) from None
    return contents


async def make(cluster: Cluster, contents: Contents) -> None:
    """Make it and say what was made. Raises StartError; then nothing was."""
    try:
        applied = await apply(cluster, contents)
    except ContentsError as error:
        raise StartError(f"the declared contents cannot be made:\n{error}") from None
    if applied.created:
        log.info("created topics %s; %d records, %d offsets", _named(applied.created), applied.records, applied.offsets)
    if applied.kept:
        log.info("kept topics %s", _named(applied.kept))
    for difference in applied.differences:
        log.warning("%s: it is kept as it is", difference)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
