"""`mycelnode config`: settings of the mesh and of this device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mycelnode.cli import _complete
from mycelnode.cli._common import Options, ask, command, group, show, table

if TYPE_CHECKING:
    from mycelnode.config import Settings

LOCAL_WRITES = "Only on this device, in its config.toml."
LOCAL_READS = "Leave what the mesh says aside: the environment, config.toml and the defaults only."


@group(name="config", short_help="Settings of the mesh and of this device.")
def config(options: Options) -> None:
    """Settings. Some belong to the mesh and are shared by all devices; money, addresses and keys belong to the device."""


@command(config, name="get")
@click.argument("key", shell_complete=_complete.config_keys)
@click.option("--local", is_flag=True, help=LOCAL_READS)
def get(options: Options, key: str, local: bool) -> None:
    """Print the value in force."""
    answer = _own(options).explain(key).as_json() if local else ask(options, "config.get", key=key)
    show(options, answer, lambda found: print(_text(found["value"])))


@command(config, name="set", context_settings={"ignore_unknown_options": True})
@click.argument("key", shell_complete=_complete.config_keys)
@click.argument("value")
@click.option("--local", is_flag=True, help=LOCAL_WRITES)
def set_(options: Options, key: str, value: str, local: bool) -> None:
    """Set KEY to VALUE (a list: separated by commas)."""
    answer = ask(options, "config.set", key=key, value=value, local=local)
    show(options, answer, lambda found: _say_set(found, local))


@command(config, name="unset")
@click.argument("key", shell_complete=_complete.config_keys)
@click.option("--local", is_flag=True, help=LOCAL_WRITES)
def unset(options: Options, key: str, local: bool) -> None:
    """Take a value back, so that the next layer, or the default, holds."""
    answer = ask(options, "config.unset", key=key, local=local)
    show(options, answer, _say_unset)


@command(config, name="list")
@click.option("--local", is_flag=True, help=LOCAL_READS)
def list_(options: Options, local: bool) -> None:
    """All settings: value, where it comes from, who shares it, and what it is for."""
    found = [setting.as_json() for setting in _own(options).all()] if local else ask(options, "config.list")["settings"]
    show(options, {"settings": found}, _say_all)


def _own(options: Options) -> Settings:
    from mycelnode.config import Settings

    return Settings(options.data)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _source(setting: Mapping[str, Any]) -> str:
    return f"the environment ({setting['variable']})" if "variable" in setting else f"{setting['source']}"


def _shown(setting: Mapping[str, Any]) -> str:
    return f"{_text(setting['value']) or 'empty'}, from {_source(setting)}"


def _say_set(setting: Mapping[str, Any], local: bool) -> None:
    where = "on all devices" if setting["scope"] == "mesh" and not local else "on this device"
    if "hidden_by" in setting:
        print(f"{setting['key']} is set {where}, but hidden here: in force is {_shown(setting)}")
    else:
        print(f"{setting['key']} is now {_text(setting['value']) or 'empty'} {where}")
    _say_what_counts(setting)


def _say_unset(setting: Mapping[str, Any]) -> None:
    print(f"{setting['key']} is now {_shown(setting)}")
    _say_what_counts(setting)


def _say_what_counts(setting: Mapping[str, Any]) -> None:
    """Of accounts and contracts, which belong to a network; and what a running node makes of the change."""
    if "of_network" in setting:
        print(f"what counts on {setting['value']}: {', '.join(map(_counting, setting['of_network']))}")
    if "note" in setting:
        print(setting["note"])


def _counting(setting: Mapping[str, Any]) -> str:
    by = f" (from {setting['variable']})" if "variable" in setting else ""
    return f"{setting['key']} {_text(setting['value']) or 'not set'}{by}"


def _say_all(answer: Mapping[str, Any]) -> None:
    rows = [
        (s["key"], _text(s["value"]) or "-", s.get("variable") or s["source"], s["scope"], s["about"])
        for s in answer["settings"]
    ]
    table(rows, ("KEY", "VALUE", "FROM", "SCOPE", "FOR"))
