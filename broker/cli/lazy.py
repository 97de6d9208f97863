"""A group of commands that loads a command when it is called: `kwire --help` imports none of them."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

import click
from attrs import frozen


@frozen
class LazyCommand:
    """A line of the table. target: ``module:attribute``, the attribute is a click command; summary: for --help."""

    name: str
    target: str
    summary: str
    aliases: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    def there(self) -> bool:
        """Whether its module exists; a wheel without it has no such command."""
        return importlib.util.find_spec(self.module) is not None

    def load(self) -> click.Command:
        """Import the module; the command."""
        module, _, attribute = self.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is no click command")
        return command


@frozen
class Section:
    """Commands that stand together in --help."""

    title: str
    commands: tuple[LazyCommand, ...]


class LazyGroup(click.Group):
    """`sections` say what there is; commands are found by name or alias."""

    def __init__(self, *args: Any, sections: Sequence[Section] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = tuple(sections)
        self._by_name = {
            name: command
            for section in sections
            for command in section.commands
            for name in (command.name, *command.aliases)
        }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return [command.name for section in self._sections for command in section.commands if command.there()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load it, None when there is none of the name."""
        command = self._by_name.get(cmd_name)
        return command.load() if command is not None and command.there() else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but for what is said when there is no such command."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, list(self._by_name), n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(self.list_commands(ctx))}"
            ctx.fail(f"No such command {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A part for each section, from the table alone."""
        for section in self._sections:
            rows = [(command.name, command.summary) for command in section.commands if command.there()]
            if rows:
                with formatter.section(section.title):
                    formatter.write_dl(rows)


class KafkaStyleGroup(click.Group):
    """Commands that may also be named as Kafka's scripts name their actions: `kwire topics --create --topic orders`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """An option that is a command's name comes first, without its dashes."""
        if args and args[0] not in self.commands:
            action = next((arg for arg in args if arg.startswith("--") and arg[2:] in self.commands), None)
            if action is not None:
                args = [action[2:], *(arg for arg in args if arg != action)]
        return super().parse_args(ctx, args)
