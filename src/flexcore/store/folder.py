"""The data folder: whose it is, and that one process at a time works in it."""

import fcntl
import os
from pathlib import Path

from flexcore.domain.errors import FlexcoreError


class DataFolderError(FlexcoreError):
    """The data folder cannot be used; the text says why and what to do."""


class DataFolder:
    """A locked data folder; `name` is the path as it was given."""

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.path = Path(name)
        self.name = os.fspath(name)
        if not self.path.is_absolute() and not self.name.startswith("."):
            self.name = f".{os.sep}{self.name}"
        if not self.path.is_dir():
            self._create()
        self._lock = self._locked()

    @property
    def database(self) -> Path:
        """Where the database is; made empty, for the owner only, when it is not."""
        path = self.path / "flexcore.db"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)
        return path

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock)

    def _create(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise DataFolderError(
                f"data folder {self.name} cannot be created: {error.strerror}"
            ) from error
        # Without this a power cut could take the folder with everything in it.
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def _locked(self) -> int:
        """Return the descriptor that holds the lock; the file names its process."""
        path = self.path / "flexcore.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataFolderError(
                f"data folder {self.name} cannot be written to: {error.strerror}"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            process = os.pread(lock, 32, 0).decode().strip() or "unknown"
            os.close(lock)
            raise DataFolderError(
                f"data folder {self.name} is in use by process {process};"
                " stop it or pass --data"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return lock
