"""A keyring for tests: entries in the file that ``TEST_RING`` names; one that cannot be reached where it names none."""

from __future__ import annotations

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class Ring(KeyringBackend):
    priority = 5  # type: ignore[assignment] -- as a real one: recommended

    @property
    def _path(self) -> Path:
        if not os.environ.get("TEST_RING"):
            raise KeyringLocked("somebody has to unlock it")
        return Path(os.environ["TEST_RING"])

    def _read(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return found

    def get_password(self, service: str, username: str) -> str | None:
        return self._read().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._path.write_text(json.dumps({**self._read(), f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        self._path.write_text(json.dumps({k: v for k, v in self._read().items() if k != f"{service}/{username}"}))
