"""`mycelnode completion`: the script that lets a shell complete our commands."""

from __future__ import annotations

import click

from mycelnode.cli._common import Options, command, show

VARIABLE = "_MYCELNODE_COMPLETE"  # as click names it for the program `mycelnode`


@command(name="completion", short_help="Let your shell complete commands.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(options: Options, shell: str) -> None:
    """Print the completion script of a shell, such as: mycelnode completion bash >> ~/.bashrc"""
    from click.shell_completion import get_completion_class

    from mycelnode.cli import cli

    found = get_completion_class(shell)
    assert found is not None  # click knows all three
    script = found(cli, {}, "mycelnode", VARIABLE).source()
    show(options, {"shell": shell, "script": script}, lambda answer: print(answer["script"]))
