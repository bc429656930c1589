"""What the shell can complete cheaply: names of settings, and of devices and patterns while a node is running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mycelnode.cli._common import Options
from mycelnode.errors import MycelError

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem


def config_keys(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Settings whose name starts so, with what they are for."""
    from click.shell_completion import CompletionItem

    from mycelnode.config_keys import KEYS

    return [CompletionItem(name, help=key.about) for name, key in KEYS.items() if name.startswith(begun)]


def devices(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Devices whose name starts so."""
    from click.shell_completion import CompletionItem

    from mycelnode.control import ControlClient

    try:
        with ControlClient(context.find_root().ensure_object(Options).data) as client:
            found = client.call("devices.list")["devices"]
    except MycelError:
        return []
    return [
        CompletionItem(device["name"], help=device["device"]) for device in found if device["name"].startswith(begun)
    ]


def patterns(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """CIDs, beginning so, of the patterns that are kept, with their titles."""
    from click.shell_completion import CompletionItem

    from mycelnode.control import ControlClient

    try:
        with ControlClient(context.find_root().ensure_object(Options).data) as client:
            found = client.call("pattern.list")["patterns"]
    except MycelError:
        return []
    return [CompletionItem(one["cid"], help=one["title"]) for one in found if one["cid"].startswith(begun)]
