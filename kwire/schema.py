"""How a message is declared: a class per struct, a field per schema field, all versions in one class.

    class ListOffsetsTopic(Struct):
        name: str = string()
        partitions: list[ListOffsetsPartition] = array(ListOffsetsPartition)

    @message(ApiKey.LIST_OFFSETS, versions="1-11", flexible="6+", removed="0")
    class ListOffsetsRequest(Struct):
        replica_id: int = int32()
        isolation_level: int = int8("2+")
        topics: list[ListOffsetsTopic] = array(ListOffsetsTopic)
        timeout_ms: int = int32("10+", ignorable=True)

Version ranges are written as in Kafka's schemas: "0+" (the default), "3-7", "2". What a field's options mean:

- `nullable`: versions in which None may be sent;
- `tag`, `tagged`: the tag number, and the versions in which the field travels as a tagged field (KIP-482); the versions
  of a field that has a tag are its tagged versions unless `tagged` says otherwise;
- `default`: what an object has when it is made or decoded without the field; zero or empty unless given;
- `ignorable`: whether a value may be dropped silently in a version that lacks the field.

The classes have slots, compare by value, take their fields as keyword (or positional) arguments, and follow the attrs
protocol (`attrs.fields`, `attrs.asdict`, `attrs.evolve` work). They are not built by `attrs.define`, which takes about
0.6 ms a class, 50 times as long: a server that imports every message would start 0.3 s later. `__init__` is compiled
when a class is first called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar, cast, dataclass_transform

from kwire.api_keys import ApiKey
from kwire.uuids import ZERO

NO_VERSIONS: Final = (1, 0)
"""The empty range."""
MAX_VERSION: Final = 0x7FFF


def parse_versions(text: str) -> tuple[int, int]:
    """The lowest and highest version of "2", "3-7", "0+" or "none" (`NO_VERSIONS`)."""
    if text == "none":
        return NO_VERSIONS
    if text.endswith("+"):
        return int(text[:-1]), MAX_VERSION
    low, _, high = text.partition("-")
    return int(low), int(high or low)


class Field:
    """One declared field. `kind` is a primitive's name, "struct" or "array"; `item` the struct class, or what an array
    holds: a struct class or a primitive's name. `default` None is null; "new" stands for a fresh list or struct."""

    __slots__ = ("default", "ignorable", "item", "kind", "name", "nullable", "tag", "tagged", "versions")

    def __init__(
        self,
        kind: str,
        versions: str,
        default: object,
        nullable: str,
        tag: int | None,
        tagged: str | None,
        ignorable: bool,
        item: type[Struct] | str | None = None,
    ) -> None:
        self.name = ""
        self.kind = kind
        self.versions = versions
        self.default = default
        self.nullable = nullable
        self.tag = tag
        self.tagged = "none" if tag is None else versions if tagged is None else tagged
        self.ignorable = ignorable
        self.item = item

    def __repr__(self) -> str:
        return f"<{self.name}: {self.kind} {self.versions}>"

    def in_version(self, version: int) -> bool:
        low, high = parse_versions(self.versions)
        return low <= version <= high

    def nullable_in(self, version: int) -> bool:
        low, high = parse_versions(self.nullable)
        return low <= version <= high

    def tagged_in(self, version: int) -> bool:
        low, high = parse_versions(self.tagged)
        return low <= version <= high


def int8(
    versions: str = "0+",
    *,
    default: int = 0,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> int:
    return cast(int, Field("int8", versions, default, "none", tag, tagged, ignorable))


def int16(
    versions: str = "0+",
    *,
    default: int = 0,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> int:
    return cast(int, Field("int16", versions, default, "none", tag, tagged, ignorable))


def int32(
    versions: str = "0+",
    *,
    default: int = 0,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> int:
    return cast(int, Field("int32", versions, default, "none", tag, tagged, ignorable))


def int64(
    versions: str = "0+",
    *,
    default: int = 0,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> int:
    return cast(int, Field("int64", versions, default, "none", tag, tagged, ignorable))


def uint16(
    versions: str = "0+",
    *,
    default: int = 0,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> int:
    return cast(int, Field("uint16", versions, default, "none", tag, tagged, ignorable))


def uint32(
    versions: str = "0+",
    *,
    default: int = 0,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> int:
    return cast(int, Field("uint32", versions, default, "none", tag, tagged, ignorable))


def float64(
    versions: str = "0+",
    *,
    default: float = 0.0,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> float:
    return cast(float, Field("float64", versions, default, "none", tag, tagged, ignorable))


def boolean(
    versions: str = "0+",
    *,
    default: bool = False,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> bool:
    return cast(bool, Field("bool", versions, default, "none", tag, tagged, ignorable))


def uuid(
    versions: str = "0+",
    *,
    default: bytes = ZERO,
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> bytes:
    """16 raw bytes (`kwire.uuids`)."""
    return cast(bytes, Field("uuid", versions, default, "none", tag, tagged, ignorable))


def string(
    versions: str = "0+",
    *,
    nullable: str = "none",
    default: str | None = "",
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> Any:
    return Field("string", versions, default, nullable, tag, tagged, ignorable)


def binary(
    versions: str = "0+",
    *,
    nullable: str = "none",
    default: bytes | None = b"",
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> Any:
    """The schemas' `bytes`. Decodes to bytes; encodes anything bytes-like."""
    return Field("bytes", versions, default, nullable, tag, tagged, ignorable)


def record_data(versions: str = "0+", *, nullable: str = "none", ignorable: bool = False) -> Any:
    """Record batches. Decodes to a memoryview of what was decoded; None by default, as in Kafka."""
    return Field("records", versions, None, nullable, None, None, ignorable)


_T = TypeVar("_T")
_StructT = TypeVar("_StructT", bound="Struct")


def array(
    of: type[_StructT] | Callable[..., Any],
    versions: str = "0+",
    *,
    nullable: str = "none",
    default: Sequence[Any] | None = (),
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> Any:
    """A list of a struct class, or of a primitive given by its function: `array(int32)`. Default: empty, or None."""
    item = of if isinstance(of, type) else _ITEM_KINDS[of]
    new = None if default is None else "new"
    return Field("array", versions, new, nullable, tag, tagged, ignorable, item)


def nested(
    of: type[_StructT],
    versions: str = "0+",
    *,
    nullable: str = "none",
    default: str | None = "new",
    ignorable: bool = False,
    tag: int | None = None,
    tagged: str | None = None,
) -> Any:
    """A single struct. Default: one with its own defaults, or None."""
    return Field("struct", versions, default, nullable, tag, tagged, ignorable, of)


_ITEM_KINDS: Final[dict[Callable[..., Any], str]] = {
    int8: "int8",
    int16: "int16",
    int32: "int32",
    int64: "int64",
    uuid: "uuid",
    string: "string",
    binary: "bytes",
}


class MessageInfo(NamedTuple):
    """What holds for a message as a whole.

    `versions` are those of Kafka 4.3.1's schema, `removed` those that 4.0 dropped and the 3.9 schema describes; the
    codec speaks both. `number` is the api key, or the record type of a metadata or coordinator record, or None.
    """

    kind: str  # request, response, metadata, coordinator-key, coordinator-value, data
    number: int | None
    versions: tuple[int, int]
    flexible: tuple[int, int]
    removed: tuple[int, int]
    unstable: tuple[int, int]  # versions Kafka serves only with unstable.api.versions.enable

    def has_version(self, version: int) -> bool:
        return self.versions[0] <= version <= self.versions[1] or self.removed[0] <= version <= self.removed[1]

    def is_flexible(self, version: int) -> bool:
        return self.flexible[0] <= version <= self.flexible[1]

    def all_versions(self) -> list[int]:
        """Every version the codec speaks, ascending."""
        both = {*range(self.versions[0], self.versions[1] + 1), *range(self.removed[0], self.removed[1] + 1)}
        return sorted(both)


@dataclass_transform(kw_only_default=True)
class StructType(type):
    """Makes a slot of each declared field and keeps the declarations in `struct_fields`."""

    struct_fields: tuple[Field, ...]
    message_info: MessageInfo | None

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> StructType:
        fields = []
        for key, value in list(namespace.items()):
            if type(value) is Field:
                value.name = key
                fields.append(value)
                del namespace[key]
        namespace["__slots__"] = tuple([field.name for field in fields]) if bases else ("unknown_tagged_fields",)
        self = super().__new__(cls, name, bases, namespace)
        self.struct_fields = tuple(fields)
        self.message_info = None
        return self

    @property
    def __attrs_attrs__(cls) -> Any:
        """For attrs' own functions, made when first asked for."""
        import attrs

        made = {
            field.name: attrs.field(factory=_factory_of(field))
            if field.default == "new"
            else attrs.field(default=field.default)
            for field in cls.struct_fields
        }
        made["unknown_tagged_fields"] = attrs.field(default=None)
        return attrs.fields(attrs.make_class(cls.__name__, made))


def _factory_of(field: Field) -> Callable[[], object]:
    return list if field.kind == "array" else cast(type, field.item)


class Struct(metaclass=StructType):
    """Base of every declared struct. `unknown_tagged_fields` maps tags the schema does not know to their raw bytes."""

    if TYPE_CHECKING:
        unknown_tagged_fields: dict[int, bytes] | None = None
        __attrs_attrs__: ClassVar[Any]

    else:

        def __init__(self, *args, **kwargs):
            cls = type(self)
            cls.__init__ = _make_init(cls)
            cls.__init__(self, *args, **kwargs)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        for field in type(self).struct_fields:
            if getattr(self, field.name) != getattr(other, field.name):
                return False
        return (self.unknown_tagged_fields or None) == (other.unknown_tagged_fields or None)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [f"{field.name}={getattr(self, field.name)!r}" for field in type(self).struct_fields]
        if self.unknown_tagged_fields:
            shown.append(f"unknown_tagged_fields={self.unknown_tagged_fields!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


_NEW: Final = object()


def _make_init(cls: StructType) -> Callable[..., None]:
    """Compile `__init__(self, field=default, ..., unknown_tagged_fields=None)`."""
    names: dict[str, object] = {"NEW": _NEW}
    arguments, body = [], []
    for index, field in enumerate(cls.struct_fields):
        if field.default == "new":
            names[f"f{index}"] = _factory_of(field)
            arguments.append(f"{field.name}=NEW")
            body.append(f"self.{field.name} = f{index}() if {field.name} is NEW else {field.name}")
        else:
            names[f"d{index}"] = field.default
            arguments.append(f"{field.name}=d{index}")
            body.append(f"self.{field.name} = {field.name}")
    source = f"def __init__(self, {', '.join([*arguments, 'unknown_tagged_fields=None'])}):\n    "
    source += "\n    ".join([*body, "self.unknown_tagged_fields = unknown_tagged_fields"])
    exec(source, names)
    return cast(Callable[..., None], names["__init__"])


def message(
    api_key: ApiKey, *, versions: str, flexible: str = "none", removed: str = "none", unstable: str = "none"
) -> Callable[[type[_StructT]], type[_StructT]]:
    """Declares the class below a request or response (by its name) of `api_key`."""

    def declare(cls: type[_StructT]) -> type[_StructT]:
        kind = "response" if cls.__name__.endswith("Response") else "request"
        return _declare(cls, kind, int(api_key), versions, flexible, removed, unstable)

    return declare


def record(
    kind: str, number: int | None = None, *, versions: str, flexible: str = "none"
) -> Callable[[type[_StructT]], type[_StructT]]:
    """Declares the class below a message that is stored: `kind` and `number` as in `MessageInfo`."""

    def declare(cls: type[_StructT]) -> type[_StructT]:
        return _declare(cls, kind, number, versions, flexible)

    return declare


def _declare(
    cls: type[_StructT],
    kind: str,
    number: int | None,
    versions: str,
    flexible: str,
    removed: str = "none",
    unstable: str = "none",
) -> type[_StructT]:
    ranges = [parse_versions(text) for text in (versions, flexible, removed, unstable)]
    cls.message_info = MessageInfo(kind, number, *ranges)
    return cls


def info_of(cls: type[Struct]) -> MessageInfo:
    """The declaration of a message class. Raises TypeError for a nested struct, which has no versions of its own."""
    if cls.message_info is None:
        raise TypeError(f"{cls.__name__} is no message but a part of one")
    return cls.message_info
