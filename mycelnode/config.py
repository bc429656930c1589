"""Settings in force: environment, then ``config.toml``, then the mesh's shared layer, then the default.

The node pushes the shared layer in with `Settings.set_shared`. What that says about settings that belong to a device is ignored,
and so is what this version does not understand: other devices must not be able to stop this one.

Accounts and contracts of NEAR belong to the network for which they were set (`OF_A_NETWORK`): ``near.account`` means
``near.testnet.account`` while ``near.network`` is testnet, as the same name is a stranger's on another network.
"""

from __future__ import annotations

import logging
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mycelnode.config_keys import (
    KEPT,
    KEYS,
    NETWORK,
    OF_A_NETWORK,
    USER,
    Key,
    Scope,
    find_key,
    on,
    parse_value,
)
from mycelnode.errors import ConfigError
from mycelnode.paths import DataDir, unusable, write_durably

MAX_FILE_BYTES = 1 << 20
MAX_DOTS = 64  # in one line, besides those in texts and comments: no name has as many parts
ENVIRONMENT, FILE, MESH, DEFAULT = "environment", "config.toml", "mesh", "default"

# texts and comments of TOML; one that does not end goes to the end of its line, or of the file, where tomllib gives up
_QUOTED = re.compile(
    rb'''"""(?s:[^"\\]|\\.|"(?!""))*+"{0,5}|"(?:[^"\\\n]|\\.)*+"?|'''
    rb"""'''(?s:[^']|'(?!''))*+'{0,5}|'[^'\n]*+'?|#[^\n]*+"""
)

Watcher = Callable[["Setting"], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting with the value in force and the layer it comes from; ``variable`` names the environment variable, if it is that."""

    key: str
    value: Any
    source: str
    scope: Scope
    about: str = ""
    variable: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object that `config get --json` prints."""
        answer = {"key": self.key, "value": self.value, "source": self.source, "scope": self.scope, "about": self.about}
        return {**answer, "variable": self.variable} if self.variable else answer


class Settings:
    """All settings of one device.

    Making it raises `ConfigError` if the environment or ``config.toml`` says something impossible.
    """

    def __init__(self, data: DataDir, *, environ: Mapping[str, str] = os.environ) -> None:
        self._path = data.config
        self._environment = dict(_from_environment(environ))
        self._file = self._read_file()
        self._shared: dict[str, Any] = {}
        self._watchers: list[tuple[str, Watcher]] = []

    # --- reading ---------------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Any:
        """The value in force. Raises `ConfigError` if there is no such setting; a ``user.…`` that nobody has set is None."""
        return self.explain(key).value

    def explain(self, key: str) -> Setting:
        """The value in force, and where it comes from. Raises `ConfigError` if there is no such setting."""
        known, kept = find_key(key), self._kept(key)
        _, plain = KEPT.get(kept, ("", key))
        if plain in self._environment:
            value, variable = self._environment[plain]
            return _setting(known, value, ENVIRONMENT, variable)
        for source, layer in ((FILE, self._file), (MESH, self._shared)):
            if kept in layer:
                return _setting(known, layer[kept], source)
        return _setting(known, known.default, DEFAULT)

    def _kept(self, key: str, file: Mapping[str, Any] | None = None) -> str:
        """Under which name a layer has a setting, of the network in force; ``file``: as that has it."""
        if key not in OF_A_NETWORK:
            return key
        said = self._environment.get(NETWORK)
        of_file = (self._file if file is None else file).get(NETWORK, KEYS[NETWORK].default)
        return on(of_file if said is None else said[0], key)

    def all(self) -> list[Setting]:
        """Every setting there is, by name, with those of the user, and of other networks, that are set anywhere."""
        names = {*KEYS, *self._environment, *self._file, *self._shared} - {self._kept(key) for key in OF_A_NETWORK}
        return [self.explain(name) for name in sorted(names)]

    def scope(self, key: str) -> Scope:
        """Whether a setting belongs to the mesh or to the device. Raises `ConfigError` if there is no such setting."""
        return find_key(key).scope

    def parse_key(self, key: str) -> str:
        """``key``, if there is such a setting; else `ConfigError`."""
        return find_key(key).name

    def parse(self, key: str, raw: object) -> Any:
        """The checked value of a setting, from a person's text or a plain value. Raises `ConfigError`."""
        return parse_value(key, raw)

    # --- changing --------------------------------------------------------------------------------------------------------

    def set_local(self, key: str, raw: object) -> None:
        """Write a value into ``config.toml``, keeping its comments; durable on return. Blocks for the disk.

        Raises `ConfigError` (also if the file was damaged meanwhile), `DiskFull`, `DataDirUnusable`; then nothing has changed.
        """
        self._edit(key, parse_value(key, raw))

    def unset_local(self, key: str) -> None:
        """Take a value out of ``config.toml``, if it is there. Raises as `set_local`."""
        self._edit(find_key(key).name, None)

    def set_shared(self, shared: Mapping[str, Any]) -> None:
        """Replace the mesh's layer; watchers of settings whose value in force changed are called."""
        accepted = {}
        for key, raw in shared.items():
            try:
                if find_key(key).scope == "mesh":
                    accepted[key] = parse_value(key, raw)
            except ConfigError as error:
                log.info("a setting of the mesh is left aside: %s", error)
        before = self._values()
        self._shared = accepted
        self._notify(before)

    def watch(self, key: str, watcher: Watcher) -> Callable[[], None]:
        """Call ``watcher(setting)`` whenever the value in force of ``key`` changes (``"*"``: of any). Returns what ends that.

        Watchers are called at once and must not block; what one raises is logged.
        """
        entry = (key if key == "*" else find_key(key).name, watcher)
        self._watchers.append(entry)

        def stop() -> None:
            if entry in self._watchers:
                self._watchers.remove(entry)

        return stop

    def _values(self) -> dict[str, Any]:
        return {setting.key: setting.value for setting in self.all()}

    def _notify(self, before: Mapping[str, Any]) -> None:
        after = self._values()
        for key in sorted({*before, *after}):
            if before.get(key) == after.get(key):
                continue
            for watched, watcher in list(self._watchers):
                if watched in ("*", key):
                    try:
                        watcher(self.explain(key))
                    except Exception:
                        log.exception("a watcher of the setting %s failed", key)

    # --- config.toml -------------------------------------------------------------------------------------------------------

    def _read_text(self) -> str:
        try:
            with open(self._path, "rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise unusable(self._path, "read", error) from error
        if len(content) > MAX_FILE_BYTES:
            raise ConfigError(f"{self._path} is larger than {MAX_FILE_BYTES} bytes; it cannot be a file of settings")
        # tomllib keeps each part of a name with all parts before it, and walks down those of its section for each line
        if any(line.count(b".") > MAX_DOTS for line in _QUOTED.sub(b"", content).split(b"\n")):
            raise ConfigError(
                f"{self._path} has a line with more than {MAX_DOTS} dots besides those in texts; "
                "correct it or move the file away"
            )
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{self._path}, line {line}: not UTF-8 text; correct it or move the file away") from None

    def _read_file(self) -> dict[str, Any]:
        try:
            parsed = list(_flatten(tomllib.loads(self._read_text())))
        except (ValueError, RecursionError) as error:  # also for a number of thousands of digits
            raise ConfigError(f"{self._path} is not valid TOML: {error}; correct it or move the file away") from None
        values = {}
        for key, raw in parsed:
            try:
                values[key] = parse_value(key, raw)
            except ConfigError as error:
                raise ConfigError(f"{self._path}: {error}") from None
        network = values.get(NETWORK, KEYS[NETWORK].default)
        for key in OF_A_NETWORK:  # as people write them, below the network that they are of
            if key in values and on(network, key) in values:
                raise ConfigError(
                    f"{self._path}: {key} and {on(network, key)} are the same setting: take one of them out"
                )
            if key in values:
                values[on(network, key)] = values.pop(key)
        return values

    def _edit(self, key: str, value: Any) -> None:
        file = self._read_file()  # a person may have edited it meanwhile: what is wrong now is said, not overwritten
        import tomlkit

        text = self._read_text()
        document, wanted = tomlkit.parse(text), dict(_flatten(tomllib.loads(text)))
        for name, new in list(self._changes(file, document, key, value)):
            _put(self._path, document, name, new)
            wanted[name] = list(new) if isinstance(new, tuple) else _unwrapped(new)
        text, wanted = tomlkit.dumps(document), {name: said for name, said in wanted.items() if said is not None}
        try:
            right = dict(_flatten(tomllib.loads(text))) == wanted
        except tomllib.TOMLDecodeError:
            right = False
        if not right:  # there are ways to write sections that tomlkit cannot add to
            raise ConfigError(f"{self._path}: {key} cannot be set in a file that is written so; set it there by hand")
        write_durably(self._path.resolve(), text.encode())
        before = self._values()
        self._file = self._read_file()
        self._notify(before)

    def _changes(
        self, file: Mapping[str, Any], document: Mapping[str, Any], key: str, value: Any
    ) -> Iterator[tuple[str, Any]]:
        """What to write for a setting. When another network is set, what stands beside it goes into its own section first."""
        section, before = document.get("near"), file.get(NETWORK, KEYS[NETWORK].default)
        plain = {f"near.{name}": said for name, said in section.items()} if isinstance(section, dict) else {}
        if key == NETWORK:
            for name in OF_A_NETWORK:
                if name in plain:
                    yield name, None
                    yield on(before, name), plain[name]
        kept = self._kept(key, file)
        network, name = KEPT.get(kept, ("", key))
        yield name if name in plain and network == before else kept, value


def _put(path: Path, document: Any, key: str, value: Any) -> None:
    """Write a value into the file's document, or take it out: None. Raises `ConfigError`."""
    import tomlkit
    from tomlkit.items import AbstractTable, InlineTable

    *sections, last = key.split(".")
    table: Any = document
    for section in sections:
        if section not in table:
            if value is None:
                return
            table[section] = tomlkit.inline_table() if isinstance(table, InlineTable) else tomlkit.table()
        table = table[section]
        if not isinstance(table, AbstractTable | dict):
            raise ConfigError(f"{path}: {key} cannot be set, because {section} is a value there, not a section")
    if value is None:
        table.pop(last, None)
    elif isinstance(table.get(last), dict):
        raise ConfigError(f"{path}: {key} cannot be set, because it is a section there")
    else:
        table[last] = list(value) if isinstance(value, tuple) else value


def taken_out(content: bytes, key: str) -> tuple[bytes, Any]:
    """What a ``config.toml`` is without a setting, comments kept, and the value of that; None if it has none, or is no TOML."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    *sections, last = key.split(".")
    try:
        document = tomlkit.parse(content)
    except (TOMLKitError, ValueError, RecursionError):  # it is said to be damaged when it is read
        return content, None
    table: Any = document
    for section in sections:
        table = table.get(section) if isinstance(table, dict) else None
    if not isinstance(table, dict) or last not in table:
        return content, None
    value = table.pop(last)
    return tomlkit.dumps(document).encode(), _unwrapped(value)


def _unwrapped(value: Any) -> Any:
    """A plain value, also of one of tomlkit's."""
    return value.unwrap() if hasattr(value, "unwrap") else value


def _setting(key: Key, value: Any, source: str, variable: str = "") -> Setting:
    value = list(value) if isinstance(value, list | tuple) else value
    return Setting(key.name, value, source, key.scope, key.about, variable)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, tuple[Any, str]]]:
    """(key, (value, variable)) of every setting in the environment; empty variables count as not set."""
    wanted = [(key, variable) for key in KEYS.values() for variable in (*reversed(key.environ), key.variable)]
    prefix = "MYCEL_" + USER.upper().replace(".", "_")
    yours = [variable for variable in environ if variable.startswith(prefix) and variable != prefix]
    wanted += [(find_key(USER + variable.removeprefix(prefix).lower()), variable) for variable in yours]
    for key, variable in wanted:
        if text := environ.get(variable, ""):
            try:
                yield key.name, (parse_value(key.name, text), variable)
            except ConfigError as error:
                raise ConfigError(f"environment variable {variable}: {error}") from None


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
