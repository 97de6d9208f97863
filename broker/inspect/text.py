"""Entries and findings as lines for a person, with colours where the caller wants them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from broker.inspect.values import Plain, time_text

Paint = Callable[[str, str], str]
"""(text, role) -> the text, coloured. Roles: head, dim, bad, good, name."""

_HIDDEN: Final = frozenset(("type", "file", "topic", "partition", "position_in_file"))


def no_colours(text: str, _role: str) -> str:
    return text


def entry_text(entry: Plain, paint: Paint = no_colours) -> str:
    """One line (a long value may add some) without a newline at the end."""
    render = _RENDER.get(entry["type"], _any)
    text = render(entry, paint)
    if "problem" in entry:
        text += "  " + paint(f"! {entry['problem']}", "bad")
    return text


def _file(entry: Plain, paint: Paint) -> str:
    what = entry["kind"]
    if "mark" in entry:
        what += f", {entry['mark'].lstrip('.')}"
    if "topic" in entry:
        what += f" of {entry['topic']}-{entry['partition']}"
    if "epoch" in entry:
        what += f", epoch {entry['epoch']}"
    size = entry["size"]
    return paint(entry["file"], "head") + "  " + paint(f"({what}, {size} bytes)", "dim")


def _batch(entry: Plain, paint: Paint) -> str:
    offsets = f"{entry['base_offset']}..{entry['last_offset']}"
    words = [
        f"  {paint('batch', 'name')} {offsets:<19} at {entry['position']:<10} {entry['size']:>8} B "
        f"{entry['count']:>6} records  {entry['codec']:<6} epoch {entry['leader_epoch']}"
    ]
    if entry["delete_horizon"] is not None:
        words.append(f"max {time_text(entry['max_timestamp'])}  delete horizon {time_text(entry['delete_horizon'])}")
    else:
        words.append(f"{time_text(entry['base_timestamp'])} .. {time_text(entry['max_timestamp'])}")
    if entry["timestamp_type"] != "create-time":
        words.append(entry["timestamp_type"])
    if entry["producer_id"] >= 0:
        sequences = f"{entry['base_sequence']}..{entry['last_sequence']}"
        words.append(f"producer {entry['producer_id']} epoch {entry['producer_epoch']} sequence {sequences}")
    if entry["transactional"]:
        words.append("transactional")
    if entry["control"]:
        words.append("control")
    if entry["crc_ok"]:
        words.append(paint(f"crc {entry['crc']:08x} ok", "good"))
    else:
        words.append(paint(f"CRC WRONG: stored {entry['crc']:08x}, computed {entry['crc_computed']:08x}", "bad"))
    return "  ".join(words)


def _message(entry: Plain, paint: Paint) -> str:
    return (
        f"  {paint('message', 'name')} {entry['offset']:<17} at {entry['position']:<10} {entry['size']:>8} B  "
        f"magic {entry['magic']}  {entry['codec']:<6} {time_text(entry['timestamp'])}  "
        + paint(f"crc {entry['crc']:08x} ok", "good")
    )


def _record(entry: Plain, paint: Paint) -> str:
    text = f"    {paint('record', 'dim')} {entry['offset']:<12} {time_text(entry['timestamp'])}"
    if "sequence" in entry:
        text += f"  sequence {entry['sequence']}"
    if "kind" in entry:
        text += f"  {paint(entry['kind'], 'name')}"
        if "error" in entry:
            text += "  " + paint(f"! {entry['error']}", "bad")
        if "version" in entry:
            text += f" v{entry['version']}"
        if "fields" in entry:
            text += f"  {_fields(entry['fields'])}"
        if "error" not in entry and "key" in entry:
            value = entry["value"]
            text += f"  {_fields(entry['key'])}  ->  {'tombstone' if value is None else _fields(value)}"
        for name in ("raw_key", "raw_value"):
            if name in entry:
                text += f"  {name.replace('_', ' ')}={shown(entry[name])}"
    else:
        text += f"  key={shown(entry['key'])}  value={shown(entry['value'])}"
    if entry.get("headers"):
        pairs = ", ".join(f"{name}: {shown(value)}" for name, value in entry["headers"])
        text += f"  headers {{{pairs}}}"
    return text


def _damage(entry: Plain, paint: Paint) -> str:
    if not entry["size"]:
        return paint(f"! {entry['file']}: {entry['reason']}", "bad")
    return "  " + paint(f"! DAMAGED at byte {entry['position']}, {entry['size']} bytes: {entry['reason']}", "bad")


def _index(entry: Plain, _paint: Paint) -> str:
    return f"  offset {entry['offset']:<12} at {entry['position']}"


def _timeindex(entry: Plain, _paint: Paint) -> str:
    return f"  {time_text(entry['timestamp']):<26} ({entry['timestamp']})  offset {entry['offset']}"


def _checkpoint(entry: Plain, paint: Paint) -> str:
    if "line" in entry:
        return _any(entry, paint)
    return f"  {entry['offset']:>14}  {entry['topic']}-{entry['partition']}"


def _any(entry: Plain, _paint: Paint) -> str:
    return "  " + "  ".join(
        f"{name.replace('_', ' ')} {_value(name, value)}"
        for name, value in entry.items()
        if name not in _HIDDEN and name != "problem"
    )


def _value(name: str, value: Any) -> str:
    if name.endswith("timestamp") and isinstance(value, int):
        return time_text(value)
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _fields(fields: Plain) -> str:
    return " ".join(f"{name}={shown(value)}" for name, value in fields.items())


def shown(value: Any) -> str:
    """A key, a value or a field: text in quotes where it needs them, bytes as ``0x...``, no value as ``null``."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return (
            value if value and not any(c in " \n\r\t\"'{}=," for c in value) else json.dumps(value, ensure_ascii=False)
        )
    if isinstance(value, dict):
        if len(value) == 1 and "base64" in value:
            from base64 import b64decode

            return f"0x{b64decode(value['base64']).hex()}"
        return "{" + _fields(value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(each) for each in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


_RENDER: Final[dict[str, Callable[[Plain, Paint], str]]] = {
    "file": _file,
    "batch": _batch,
    "message": _message,
    "record": _record,
    "damage": _damage,
    "index": _index,
    "timeindex": _timeindex,
    "offset-checkpoint": _checkpoint,
}
