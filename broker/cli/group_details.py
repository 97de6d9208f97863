"""What the commands ask any Kafka about consumer groups: states, members, committed offsets, lag."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from broker.cli.client import reason
from broker.cli.metadata import LATEST, all_topics, list_offsets, partitions_of
from broker.cli.output import CommandError

_NOT_FOUND: Final = 69
_DEAD: Final = "Dead"
READ_TYPES: Final = (None, "classic", "consumer")
"""Types of groups that commit offsets; an old broker tells none."""
Place = tuple[str, int]


def listed_groups(admin: Any, states: Iterable[str] = (), types: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Each group once, by id."""
    wanted_states = {state.lower() for state in states}
    wanted_types = {kind.lower() for kind in types}
    groups = {}
    for group in admin.list_groups():
        shown = {
            "group": group["group_id"],
            "type": group.get("group_type") or None,
            "state": group.get("group_state") or None,
            "protocol_type": group.get("protocol_type") or None,
        }
        if wanted_states and str(shown["state"]).lower() not in wanted_states:
            continue
        if wanted_types and str(shown["type"]).lower() not in wanted_types:
            continue
        groups[shown["group"]] = shown
    return [groups[name] for name in sorted(groups)]


def described_groups(admin: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """State and members of these groups. Raises CommandError for one that is not there, with near names.

    member: member_id, instance_id, client_id, host, partitions ((topic, partition), ...), epoch (KIP-848).
    """
    if not names:
        return []
    listed = {group["group"]: group for group in listed_groups(admin)}
    unknown = [name for name in names if name not in listed]
    if unknown:
        raise unknown_groups(unknown, list(listed))
    for name in names:
        if listed[name]["type"] not in READ_TYPES:
            raise CommandError(f"{name} is a {listed[name]['type']} group; only consumer groups can be looked into")
    consumer = [name for name in names if listed[name]["type"] == "consumer"]
    classic = [name for name in names if name not in consumer]
    found = {}
    if classic:
        for name, group in admin.describe_groups(classic).items():
            if group["error"] and group["group_state"] != _DEAD:
                raise CommandError(f"group {name}: {group['error']}")
            found[name] = _classic(group)
    for name in consumer:
        found[name] = _consumer(admin, name)
    return [found[name] | {"type": listed[name]["type"]} for name in names]


def unknown_groups(unknown: Sequence[str], known: Sequence[str]) -> CommandError:
    """An error with near names."""
    parts = []
    for name in unknown:
        near = difflib.get_close_matches(name, known, n=3)
        parts.append(repr(name) + (f" (did you mean {' or '.join(near)}?)" if near else ""))
    one = "there is no group" if len(parts) == 1 else "there are no groups"
    hint = f"There are: {', '.join(known[:8])}" if known else "There is none yet: a group begins with its first member."
    return CommandError(f"{one} {', '.join(parts)}", hint=hint)


def _classic(group: Mapping[str, Any]) -> dict[str, Any]:
    members = []
    for member in group["members"]:
        assignment = member["member_assignment"]
        assigned = assignment.get("assigned_partitions", ()) if isinstance(assignment, dict) else ()
        members.append(
            {
                "member_id": member["member_id"],
                "instance_id": member.get("group_instance_id"),
                "client_id": member["client_id"],
                "host": str(member["client_host"]).lstrip("/"),
                "partitions": [(each["topic"], index) for each in assigned for index in each["partitions"]],
            }
        )
    return {
        "group": group["group_id"],
        "state": group["group_state"],
        "assignor": group["protocol_data"] or None,
        "members": sorted(members, key=lambda each: str(each["member_id"])),
    }


def _consumer(admin: Any, name: str) -> dict[str, Any]:
    """A group of the new protocol (KIP-848), which DescribeGroups does not know."""

    async def exchange() -> Any:
        node = await admin._find_coordinator_id(name)
        request = _describe_request_class()(group_ids=[name], include_authorized_operations=False)
        return await admin._manager.send(request, node_id=node)

    (group,) = admin._manager.run(exchange).groups
    if group.error_code:
        raise CommandError(f"group {name}: {reason(group.error_code, group.error_message)}")
    members = [
        {
            "member_id": member.member_id,
            "instance_id": member.instance_id,
            "client_id": member.client_id,
            "host": str(member.client_host).lstrip("/"),
            "epoch": member.member_epoch,
            "partitions": [
                (each.topic_name, index) for each in member.assignment.topic_partitions for index in each.partitions
            ],
        }
        for member in group.members
    ]
    return {
        "group": name,
        "state": group.group_state,
        "assignor": group.assignor_name or None,
        "epoch": group.group_epoch,
        "members": sorted(members, key=lambda each: str(each["member_id"])),
    }


@lru_cache(maxsize=1)
def _describe_request_class() -> Any:
    """ConsumerGroupDescribe (API 69) as kafka-python's protocol classes are."""
    import warnings

    from kafka.protocol.api_message import ApiMessage

    from broker.cli import schemas

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)

        class ConsumerGroupDescribeRequest(ApiMessage, load_json=schemas):  # type: ignore[misc, call-arg]
            pass

        class ConsumerGroupDescribeResponse(ApiMessage, load_json=schemas):  # type: ignore[misc, call-arg]
            pass

    # kafka-python keeps responses' classes by weak reference.
    ConsumerGroupDescribeRequest.response_class = ConsumerGroupDescribeResponse
    return ConsumerGroupDescribeRequest


def committed(admin: Any, name: str) -> dict[Place, int]:
    """(topic, partition) -> committed offset of a group."""
    found = admin.list_group_offsets([name]).get(name, {})
    return {(place.topic, place.partition): each.offset for place, each in found.items() if each.offset >= 0}


def lag_rows(admin: Any, group: Mapping[str, Any], *, ends: Mapping[Place, int] | None = None) -> list[dict[str, Any]]:
    """A row for each partition that the group has committed or has a member for: offsets, lag, who reads it."""
    offsets = committed(admin, group["group"])
    readers: dict[Place, Mapping[str, Any]] = {
        (topic, index): member for member in group["members"] for topic, index in member["partitions"]
    }
    places = sorted(set(offsets) | set(readers))
    if ends is None:
        ends = end_offsets(admin, places)
    rows = []
    for topic, index in places:
        current, end = offsets.get((topic, index)), ends.get((topic, index))
        member = readers.get((topic, index))
        rows.append(
            {
                "group": group["group"],
                "topic": topic,
                "partition": index,
                "current_offset": current,
                "end_offset": end,
                "lag": None if current is None or end is None else max(end - current, 0),
                "member_id": None if member is None else member["member_id"],
                "client_id": None if member is None else member["client_id"],
                "host": None if member is None else member["host"],
            }
        )
    return rows


def end_offsets(admin: Any, places: Iterable[Place]) -> dict[Place, int]:
    """Log ends of those partitions that exist and have a leader."""
    wanted = set(places)
    if not wanted:
        return {}
    topics = {topic for topic, _ in wanted}
    found = [topic for topic in all_topics(admin) if topic["name"] in topics]
    return list_offsets(admin, [each for each in partitions_of(found) if each[:2] in wanted], LATEST)
