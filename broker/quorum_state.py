"""``quorum-state``: the election this node knows of, beside the metadata log  (Kafka: FileQuorumStateStore).

One line of JSON. data_version 0 (kraft.version 0, voters from the settings) names the voters; data_version 1
(kraft.version 1, voters in the log) the directory of the replica voted for.
"""

from __future__ import annotations

import json
from typing import Any, Final

from attrs import define

from kwire import uuids
from log.storage import Storage, read_file, write_file

QUORUM_STATE: Final = "quorum-state"


class DamagedQuorumStateError(Exception):
    """The file cannot be read: the text says why."""


@define(slots=True, frozen=True)
class QuorumState:
    """leader_id -1: none known. voters: None in data_version 1, and where the file names none."""

    leader_epoch: int
    leader_id: int = -1
    voters: tuple[int, ...] | None = None
    data_version: int = 0


def read_quorum_state(storage: Storage, directory: str) -> QuorumState | None:
    """None when there is none. Raises DamagedQuorumStateError."""
    path = f"{directory}/{QUORUM_STATE}"
    raw = read_file(storage, path)
    if not raw:
        return None
    try:
        state: dict[str, Any] = json.loads(raw)
        version = int(state.get("data_version", 0))
        if version not in (0, 1):
            raise ValueError(f"data_version is {version}")
        voters = state.get("currentVoters")
        return QuorumState(
            leader_epoch=int(state["leaderEpoch"]),
            leader_id=int(state.get("leaderId", -1)),
            voters=tuple(int(voter["voterId"]) for voter in voters) if voters else None,
            data_version=version,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedQuorumStateError(f"{path} is not readable ({error}); remove it to begin a new epoch") from None


def write_quorum_state(
    storage: Storage, directory: str, *, leader_id: int, leader_epoch: int, kraft_version: int
) -> None:
    """As a leader writes it that is the only voter; durable on return."""
    state: dict[str, Any]
    if kraft_version < 1:
        state = {
            "clusterId": "",
            "leaderId": leader_id,
            "leaderEpoch": leader_epoch,
            "votedId": -1,
            "appliedOffset": 0,
            "currentVoters": [{"voterId": leader_id}],
            "data_version": 0,
        }
    else:
        state = {
            "leaderId": leader_id,
            "leaderEpoch": leader_epoch,
            "votedId": -1,
            "votedDirectoryId": uuids.to_string(uuids.ZERO),
            "data_version": 1,
        }
    text = json.dumps(state, separators=(",", ":"))
    write_file(storage, f"{directory}/{QUORUM_STATE}", text.encode(), sync=True)
