"""What lies in the log directories, for DescribeLogDirs and AlterReplicaLogDirs.  (KIP-113, KIP-827)"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from attrs import define

from broker.deferred import Deferred, start
from kwire.error_codes import ErrorCode
from kwire.errors import ApiError
from log.filenames import LOG, partition_dir
from log.log_move import LogMove

if TYPE_CHECKING:
    from broker.cleaner.cleaner import Cleaner
    from broker.clock import Clock
    from broker.controller.controller import Controller
    from broker.partitions import FindsPartitions
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

    def __init__(
        self,
        node_id: int,
        controller: Controller,
        manager: LogManager,
        partitions: FindsPartitions,
        clock: Clock,
        run_in_thread: Callable[[Callable[[], None]], Deferred[None]],
        unique: Callable[[], str],
    ) -> None:
        self._node_id = node_id
        self._controller = controller
        self._image = controller.image
        self._manager = manager
        self._partitions = partitions
        self._clock = clock
        self._run_in_thread = run_in_thread
        self._unique = unique
        self._moving: dict[tuple[str, int], LogDirectory] = {}
        self.cleaner: Cleaner | None = None

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
        described = self._image.partition(topic, partition)
        if described is not None and self._node_id not in described.replicas:
            return None
        lies = self._manager.directory_of(topic, partition)
        if lies is not None or described is None:
            return lies
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

    # -- moving

    def move(self, topic: str, partition: int, path: str) -> None:
        """Begin to move this node's replica to the directory `path`; it stays in use meanwhile.

        Raises ApiError: LOG_DIR_NOT_FOUND, KAFKA_STORAGE_ERROR for a directory that failed, UNKNOWN_TOPIC_OR_PARTITION.
        """
        target = self.by_path(path)
        if target is None or target.properties is None or target.properties.directory_id is None:
            raise ApiError(ErrorCode.LOG_DIR_NOT_FOUND)
        if target.failed is not None:
            raise ApiError(ErrorCode.KAFKA_STORAGE_ERROR)
        now = self.directory_of(topic, partition)
        if now is None:
            raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        if now is target or self._moving.get((topic, partition)) is target:
            return
        self._moving[(topic, partition)] = target
        start(self._move(topic, partition, target, target.properties.directory_id))

    async def _move(self, topic: str, index: int, target: LogDirectory, directory_id: bytes) -> None:
        key = (topic, index)
        cleaner = self.cleaner
        try:
            if key in self._manager:
                if cleaner is not None:
                    await cleaner.pause(topic, index)
                try:
                    await self._move_files(topic, index, target)
                finally:
                    if cleaner is not None:
                        cleaner.resume(topic, index)
            await self._controller.assign_directory(topic, index, directory_id, self._node_id)
            logger.info("%s-%d lies in %s now", topic, index, target.path)
        except (ApiError, OSError) as error:
            logger.error("cannot move %s-%d to %s: %s", topic, index, target.path, error)
        except Exception:
            logger.exception("cannot move %s-%d to %s", topic, index, target.path)
        finally:
            if self._moving.get(key) is target:
                del self._moving[key]

    async def _move_files(self, topic: str, index: int, target: LogDirectory) -> None:
        partition = self._partitions.get(topic, index)
        if partition is None:
            raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        move = LogMove(self._manager, partition.log, target, self._unique())
        leftovers = move.abandon()
        try:
            while (names := move.plan(self._clock.now_ms())) is not None:
                await self._run_in_thread(partial(move.copy, names))
                if (
                    self._partitions.get(topic, index) is not partition
                    or self._moving.get((topic, index)) is not target
                ):
                    raise ApiError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "deleted, or sent elsewhere, meanwhile")
            leftovers = move.finish(self._clock.now_ms())
        finally:
            partition.reopen()
            for each in leftovers:
                self._run_in_thread(partial(each.run, self._manager.storage))
