"""Shell completion: `kwire completion bash`, and names of topics and groups where a broker answers at once."""

from __future__ import annotations

from typing import Any, Final

import click

_SHELLS: Final = ("bash", "zsh", "fish")


@click.command(
    short_help="Print completion for bash, zsh or fish, to be sourced.",
    epilog="""\b
Once, for this shell:            source <(kwire completion bash)
For every bash to come:          kwire completion bash > ~/.local/share/bash-completion/completions/kwire
For every zsh to come:           kwire completion zsh > "${fpath[1]}/_kwire"
For every fish to come:          kwire completion fish > ~/.config/fish/completions/kwire.fish
""",
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print what makes a shell complete kwire's commands and options, and names of topics and groups."""
    from click.shell_completion import get_completion_class

    from broker.cli.main import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(found(cli, {}, "kwire", "_KWIRE_COMPLETE").source())


def complete_topics(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of topics that begin so; none where no broker answers."""
    return [name for name in _names(ctx, "topics") if name.startswith(incomplete)]


def complete_groups(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of groups that begin so."""
    return [name for name in _names(ctx, "groups") if name.startswith(incomplete)]


def _names(ctx: click.Context, kind: str) -> list[str]:
    from broker.cli.client import kafka_of

    params: dict[str, Any] = ctx.params
    try:
        kafka = kafka_of(params.get("bootstrap"), tuple(params.get("settings") or ()), params.get("settings_file"))
        with kafka.admin() as admin:
            if kind == "topics":
                return sorted(admin.list_topics())
            return sorted({str(group["group_id"]) for group in admin.list_groups()})
    except Exception:
        # A shell that waits for completion is told nothing about what failed.
        return []
