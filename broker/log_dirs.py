"""What lies in the log directories, for DescribeLogDirs and AlterReplicaLogDirs.  (KIP-113, KIP-827)"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define

from kwire.error_codes import ErrorCode
from log.filenames import LOG, partition_dir

if TYPE_CHECKING:
    from broker.controller.image import ClusterImage
    from log.log_directory import LogDirectory
    from log.log_manager import LogManager

logger = logging.getLogger("kwire.log_dirs")


@define(slots=True)
class DirectorySpace:
    """Of the file system a directory is on; -1 where it is not known."""

    total_bytes: int = -1
    usable_bytes: int = -1


@define(slots=True)
class ReplicaInDirectory:
    topic: str
    partition: int
    size_bytes: int


class LogDirs:
    """The directories of one node, with the partitions the image puts there, used or not."""

    def __init__(self, node_id: int, image: ClusterImage, manager: LogManager) -> None:
        self._node_id = node_id
        self._image = image
        self._manager = manager

    def directories(self) -> list[LogDirectory]:
        return list(self._manager.directories)

    def by_path(self, path: str) -> LogDirectory | None:
        for directory in self._manager.directories:
            if directory.path == path:
                return directory
        return None

    def error_of(self, directory: LogDirectory) -> ErrorCode:
        return ErrorCode.NONE if directory.failed is None else ErrorCode.KAFKA_STORAGE_ERROR

    def space(self, directory: LogDirectory) -> DirectorySpace:
        try:
            found = os.statvfs(directory.path)
        except OSError:
            return DirectorySpace()
        return DirectorySpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def directory_of(self, topic: str, partition: int) -> LogDirectory | None:
        """Where a replica lies, or will when it is first written to. None: there is no such replica here."""
        lies = self._manager.directory_of(topic, partition)
        if lies is not None:
            return lies
        described = self._image.partition(topic, partition)
        if described is None:
            return None
        directory_id = described.directory_of(self._node_id)
        return None if directory_id is None else self._manager.choose_directory(directory_id)

    def replicas(self, wanted: set[tuple[str, int]] | None) -> Iterator[tuple[LogDirectory, ReplicaInDirectory]]:
        """Every replica of this node (of `wanted` only, when given) with its directory and size."""
        for topic in self._image.topics():
            for index in range(len(topic.partitions)):
                if wanted is not None and (topic.name, index) not in wanted:
                    continue
                directory = self.directory_of(topic.name, index)
                if directory is not None and directory.failed is None:
                    yield directory, ReplicaInDirectory(topic.name, index, self._size(directory, topic.name, index))

    def _size(self, directory: LogDirectory, topic: str, index: int) -> int:
        opened = self._manager.opened(topic, index)
        if opened is not None:
            return opened.size_bytes
        if (topic, index) not in self._manager:
            return 0
        storage = self._manager.storage
        path = f"{directory.path}/{partition_dir(topic, index)}"
        try:
            return sum(storage.size(f"{path}/{name}") for name in storage.list_dir(path) if name.endswith(LOG))
        except OSError as error:
            logger.warning("cannot tell the size of %s: %s", path, error)
            return 0
