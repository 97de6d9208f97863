"""A file with a declaration, YAML or JSON, into Contents. yaml is loaded when there is one to read."""

from __future__ import annotations

import json
import re
from pathlib import Path as FilePath
from typing import Any, Final

from broker.contents.model import Contents, ContentsError, Path, Problem
from broker.contents.parse import MAX_DEPTH, parse_contents

MAX_JSON_BYTES: Final = 64 << 20
MAX_YAML_BYTES: Final = 8 << 20
_MAX_MERGES: Final = 100
_MAX_MERGED_NAMES: Final = 1_000
# Mistakes in a larger text are told without their lines: finding these takes as long as reading YAML does.
_MAX_PLACED_CHARACTERS: Final = 1 << 20
_SNIPPET: Final = 80


def read_contents(path: FilePath) -> Contents:
    """Raises ContentsError: every mistake with its line, or why the file cannot be read."""
    try:
        as_json = path.suffix.lower() == ".json"
        most = MAX_JSON_BYTES if as_json else MAX_YAML_BYTES
        if path.stat().st_size > most:
            larger = "" if as_json else f"; a .json file may have {MAX_JSON_BYTES >> 20} MiB"
            raise ContentsError([Problem((), f"is larger than {most >> 20} MiB{larger}")], str(path))
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ContentsError([Problem((), f"cannot be read: {error.strerror}")], str(path)) from None
    except UnicodeDecodeError as error:
        raise ContentsError([Problem((), f"is no UTF-8: {error.reason} at byte {error.start}")], str(path)) from None
    return parse_text(text, str(path), as_json=as_json)


def parse_text(text: str, source: str = "", *, as_json: bool = False) -> Contents:
    """A declaration as text. as_json: JSON by its rules alone; else YAML, of which JSON is a part."""
    try:
        value = _load_json(text) if as_json else load_yaml(text)
    except ContentsError as error:
        raise ContentsError(error.problems, source) from None
    try:
        return parse_contents(value)
    except ContentsError as error:
        places = _places(text) if len(text) <= _MAX_PLACED_CHARACTERS else None
        raise ContentsError([_placed(problem, places) for problem in error.problems], source) from None


# -- JSON


def _load_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ContentsError([Problem((), f"the name {twice!r} stands twice in one object")])
        return found

    def no_constant(name: str) -> Any:
        raise ContentsError([Problem((), f"{name} is no JSON")])

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise ContentsError([Problem((), f"no JSON: {error.msg}", error.lineno, error.colno)]) from None
    except RecursionError:
        raise ContentsError([Problem((), "is nested too deep")]) from None
    except ValueError as error:  # a number of too many digits
        raise ContentsError([Problem((), f"no JSON: {error}")]) from None


# -- YAML


def load_yaml(text: str) -> Any:
    """The one document. Scalars by YAML 1.2's rules: `on`, `no` and dates are text. Raises ContentsError."""
    import yaml

    try:
        _check_depth(text, yaml)
        loader = _loader_class(yaml)(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_names(node, yaml)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(filter(None, (error.context, error.problem)))
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        raise ContentsError([Problem((), f"no YAML: {said}", line, column)]) from None
    except yaml.YAMLError as error:
        raise ContentsError([Problem((), f"no YAML: {error}")]) from None
    except RecursionError:
        raise ContentsError([Problem((), "is nested too deep")]) from None
    except (ValueError, OverflowError, LookupError, AttributeError, TypeError) as error:
        # What pyyaml does with a scalar that is not what its tag says.
        raise ContentsError([Problem((), f"no YAML: a value is not what its tag says: {error}")]) from None


def _check_depth(text: str, yaml: Any) -> None:
    """Before anything recursive reads it: libyaml's composer ends the process where the stack does."""
    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
            if depth > MAX_DEPTH:
                raise _refused(yaml, f"nested more than {MAX_DEPTH} deep", event)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1


def _check_names(root: Any, yaml: Any) -> None:
    """Names are text and stand once in a mapping. Raises yaml's ConstructorError."""
    waiting, seen = [root], {id(root)}
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise _refused(yaml, "a name must be text", key)
                if key.value in names:
                    raise _refused(yaml, f"the name {key.value[:_SNIPPET]!r} stands twice in one mapping", key)
                names.add(key.value)
            children = [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        else:
            continue
        for child in children:
            if not isinstance(child, yaml.ScalarNode) and id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def _refused(yaml: Any, problem: str, node: Any) -> Exception:
    error: Exception = yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    return error


def _loader_class(yaml: Any) -> Any:
    """SafeLoader with the core schema of YAML 1.2, and merges within bounds; libyaml's where it is built in."""
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[valid-type, misc]
        # What stands without quotes and without a tag.
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

        def flatten_mapping(self, node: Any) -> None:
            merges = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
            for value in merges:
                if isinstance(value, yaml.SequenceNode) and len(value.value) > _MAX_MERGES:
                    raise _refused(yaml, f"more than {_MAX_MERGES} mappings are merged", node)
            super().flatten_mapping(node)
            if merges and len(node.value) > _MAX_MERGED_NAMES:
                raise _refused(yaml, f"more than {_MAX_MERGED_NAMES} names are merged", node)

    core = (
        ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
        ("int", r"[-+]?(?:0|[1-9][0-9]{0,30})", "-+0123456789"),
        ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("merge", r"<<", "<"),
    )
    for tag, pattern, first in core:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))
    return Loader


# -- where a mistake stands


def _places(text: str) -> Any:
    """The text's nodes with their marks; None when they cannot be had (JSON that is no YAML)."""
    import yaml

    try:
        _check_depth(text, yaml)
        return yaml.compose(text, Loader=_loader_class(yaml))
    except (yaml.YAMLError, RecursionError, ValueError):
        return None


def _placed(problem: Problem, root: Any) -> Problem:
    """With the line and column of the deepest node on the path that is there."""
    mark = _mark(problem.path, root)
    if mark is None:
        return problem
    return Problem(problem.path, problem.message, mark.line + 1, mark.column + 1)


def _mark(path: Path, node: Any) -> Any:
    if node is None or not path:
        return None
    mark = None
    for step in path:
        if isinstance(step, int):
            if not isinstance(node.value, list) or step >= len(node.value) or isinstance(node.value[step], tuple):
                break
            node = node.value[step]
            mark = node.start_mark
            continue
        if not isinstance(node.value, list):
            break
        pairs = (pair for pair in node.value if isinstance(pair, tuple) and pair[0].value == step)
        found = next(pairs, None)
        if found is None:
            break
        mark, node = found[0].start_mark, found[1]
    return mark
