"""The data folder: where it is, what lies in it, who may use it, and how files in it are written so that a crash loses nothing."""

from __future__ import annotations

import errno
import os
import secrets
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import platformdirs

from mycelnode.encoding import base32, blake2b
from mycelnode.errors import (
    DatabaseDamaged,
    DataDirBusy,
    DataDirUnusable,
    DiskFull,
    KeyFileError,
    MycelError,
    NotInitialised,
    Unsupported,
)

SUN_PATH_BYTES = (
    103 if sys.platform == "darwin" else 107
)  # of sockaddr_un.sun_path, less its closing zero (unix(7), unix(4))
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RUN_USER = Path(
    "/run/user"
)  # of systemd and elogind; XDG_RUNTIME_DIR itself is not asked, as a service and a shell may disagree on it
SHARED_TEMPORARY = Path("/tmp")  # what is made in it is checked to be ours
TEMPORARY = ".part"  # what `write_durably` writes ends so until it is complete
CURE = "after `mycelnode leave`, restore a backup (`mycelnode backup restore`) or join again. Nothing was overwritten"


def unusable(path: Path, doing: str, error: OSError) -> MycelError:
    """The error for a file operation that failed: `DiskFull` or `DataDirUnusable`, naming the path."""
    if error.errno in OUT_OF_SPACE:
        return DiskFull(f"the disk is full: {path} could not be {doing}; free some space and try again")
    return DataDirUnusable(f"{path} cannot be {doing}: {error.strerror or error}")


def make_private_folder(path: Path) -> None:
    """Create ``path`` and its parents, open to this user only; an existing folder is left as it is."""
    try:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        for folder in missing:
            sync_folder(folder.parent)
    except FileExistsError:
        raise DataDirUnusable(f"{path} is a file where a folder should be") from None
    except OSError as error:
        raise unusable(path, "created", error) from error


def sync_folder(path: Path) -> None:
    """Make the names in ``path`` durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _create_durably(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with open(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def write_durably(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Replace ``path`` by ``data``: after a crash it holds the old content or the new, never a mixture. Blocks until it is on disk.

    Raises `DiskFull` or `DataDirUnusable`; then the old content is still there.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        _create_durably(temporary, data, mode)
        try:
            temporary.rename(path)
        except BaseException:
            temporary.unlink()
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise unusable(path, "written", error) from error


def write_new(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Write a file that must not exist yet (`KeyFileError` if it does). Blocks until it is on disk."""
    try:
        _create_durably(path, data, mode)
        sync_folder(path.parent)
    except FileExistsError:
        raise KeyFileError(f"{path} exists already and is not overwritten") from None
    except OSError as error:
        raise unusable(path, "written", error) from error


def runtime_folder() -> Path:
    """This user's folder for sockets, at a short path."""
    user = os.geteuid()
    own = RUN_USER / str(user)
    try:
        if own.stat().st_uid == user:
            return own / "mycelnode"
    except OSError:
        pass
    return SHARED_TEMPORARY / f"mycelnode-{user}"


class DataDir:
    """One data folder, by the names of what lies in it. Making one of these touches nothing.

    ``path`` defaults to ``MYCEL_DATA_DIR``, else to the platform's folder for application data.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, environ: Mapping[str, str] = os.environ) -> None:
        chosen = path or environ.get("MYCEL_DATA_DIR") or platformdirs.user_data_dir("mycelnode", appauthor=False)
        self.path = Path(chosen).expanduser().absolute()
        self._option = f" --data-dir {shlex.quote(os.fspath(path))}" if path else ""
        self.device_key = self.path / "device.key"
        self.swarm_key = self.path / "swarm.key"
        self.turns_key = self.path / "turns.key"  # of the private turns, where no keyring or passphrase keeps it
        self.database = self.path / "mycel.db"
        self.config = self.path / "config.toml"
        self.blocks = self.path / "blocks"
        self.log = self.path / "node.log"
        self.backups = self.path / "backups"
        self.joining = self.path / "joining"  # there until a device is enrolled: the invite it answers, or "restored"
        self.lock_file = self.path / "lock"

    def __repr__(self) -> str:
        return f"DataDir({str(self.path)!r})"

    def program(self, command: str) -> str:
        """How a person would type ``command`` for this very folder."""
        return f"mycelnode {command}{self._option}"

    @property
    def control_path(self) -> Path:
        """The control socket. Where its path would be too long for a socket, it lies in the user's runtime folder."""
        direct = self.path / "control.sock"
        if len(os.fsencode(direct)) <= SUN_PATH_BYTES:
            return direct
        name = f"control-{base32(blake2b(os.fsencode(self.path), 10))}.sock"
        return runtime_folder() / name

    def prepare_control(self) -> Path:
        """Make the folder of the control socket, check that nobody else can reach into it, and return the socket's path.

        Raises `DataDirUnusable` if another user owns the folder or could replace what lies in it, or no short enough path exists.
        """
        path = self.control_path
        if len(os.fsencode(path)) > SUN_PATH_BYTES:
            raise DataDirUnusable(f"the path of the control socket is too long: {path}; use a shorter --data-dir")
        make_private_folder(path.parent)
        info = path.parent.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
            raise DataDirUnusable(f"{path.parent} is not a folder of this user; the control socket cannot lie there")
        if info.st_mode & 0o022:
            raise DataDirUnusable(f"{path.parent} can be written by other users; run: chmod 700 {path.parent}")
        return path

    def create(self) -> None:
        """Make the folder (0700) for a device, or take an empty one of ours, and check that a node can run in it.

        Raises `DataDirUnusable`, `DiskFull`.
        """
        self._make()
        if self.path.stat().st_uid == os.geteuid() and not any(self.path.iterdir()):
            try:
                self.path.chmod(PRIVATE_FOLDER)
            except OSError as error:
                raise unusable(self.path, "made private", error) from error
        self.prepare_control()

    def _make(self) -> None:
        make_private_folder(self.path)
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise DataDirUnusable(f"{self.path} cannot be read and written by this user; check its owner and mode")

    def initialised(self) -> bool:
        """Whether a device lives here, be it a damaged one. `DataDirUnusable` if the folder cannot be looked into."""
        try:
            return self.device_key.exists() or self.database.exists()
        except OSError as error:
            raise unusable(self.path, "read", error) from error

    @property
    def unfinished(self) -> str:
        """What to say of a folder whose device is not enrolled yet."""
        return (
            f"{self.path} holds a device that is no member of a mesh yet: finish with `{self.program('join INVITE')}`, or"
            f" `{self.program('recover')}` with the phrase, or begin anew after `{self.program('leave')}`"
        )

    def check_begun(self) -> None:
        """Raise `NotInitialised` if nothing of a device lives here."""
        if not self.initialised():
            raise NotInitialised(
                f"{self.path} holds no device yet: run `{self.program('init')}` or `{self.program('join INVITE')}` first"
            )

    def check_readable(self) -> None:
        """Raise `NotInitialised` if no device lives here that knows a mesh, and `DatabaseDamaged` if its database is gone."""
        self.check_begun()
        if self.joining.exists() and not (self.device_key.exists() and self.database.exists()):
            raise NotInitialised(self.unfinished)
        if not self.database.exists():
            raise DatabaseDamaged(f"{self.database} is missing; put it back, or, {CURE}")

    def check_member(self) -> None:
        """As `check_readable`; `NotInitialised` also for a device on its way into a mesh, restored from a backup or not."""
        self.check_readable()
        if self.joining.exists():
            raise NotInitialised(self.unfinished)

    def without_root(self) -> MycelError:
        """The error for a database that names no mesh: a join that was killed, an init that was killed, or damage."""
        if self.joining.exists():
            return NotInitialised(self.unfinished)
        return DatabaseDamaged(f"{self.database} holds no mesh; {CURE}")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process alone; the system lets go of it when the process ends, however it ends.

        Raises `DataDirBusy` naming the process that holds it, `DataDirUnusable`, `DiskFull`.
        """
        try:
            import fcntl
        except ImportError:
            raise Unsupported("mycelnode runs on Linux and macOS; on Windows, use it inside WSL") from None
        self._make()
        try:
            handle = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE_FILE)
        except OSError as error:
            raise unusable(self.lock_file, "opened", error) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip()
                who = f"process {holder}" if holder.isdigit() else "another process"
                raise DataDirBusy(f"{self.path} is in use by {who}; stop it first, or use another --data-dir") from None
            except OSError as error:
                raise unusable(self.lock_file, "locked", error) from error
            with suppress(OSError):  # the number only helps people; a full disk must not keep a node from starting
                os.ftruncate(handle, 0)
                os.pwrite(handle, b"%d\n" % os.getpid(), 0)
            for left in self.path.glob(
                f".*{TEMPORARY}*"
            ):  # from a crash in the middle of `write_durably` or of a database
                left.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)
