"""A disk that knows what was synced and what was only written, and apsw on top of it.

Of the writes that were not synced, an image of the disk holds none, the first few, or
any, torn at sectors of 512 bytes: whatever a real one may hold after the power fails.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw

SECTOR = 512
#: writes and syncs between two images, at most: within a batch, or some batches later
OPERATIONS = (10, 100, 1_000, 3_000)
_TRACKED = (
    apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
)


class Write(NamedTuple):
    """A write that was not synced; without `data` the file is cut at `offset`."""

    order: int
    offset: int
    data: bytes | None


class File:
    """The bytes of a file that were synced, and the writes since."""

    def __init__(self, synced: bytes = b"") -> None:
        self.synced = bytearray(synced)
        self.pending: list[Write] = []

    def sync(self) -> None:
        for write in self.pending:
            put(self.synced, write.offset, write.data)
        self.pending.clear()


def put(content: bytearray, offset: int, data: bytes | None) -> None:
    """Write as a file system does: a hole is filled with zeros."""
    if data is None:
        del content[offset:]
        return
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


class Disk:
    """All files of one store; takes images of itself, and may be full or broken."""

    def __init__(
        self, rng: random.Random, files: dict[str, bytes] | None = None
    ) -> None:
        self.rng = rng
        self.files = {name: File(synced) for name, synced in (files or {}).items()}
        self.images: list[tuple[dict[str, bytes], int]] = []
        #: batches acknowledged so far; kept by whoever drives the store
        self.acknowledged = 0
        #: what every write or sync fails with, and what every sync does
        self.fault: type[apsw.Error] | None = None
        self.fault_at_sync: type[apsw.Error] | None = None
        #: called before a write or sync, while another connection has begun it
        self.meanwhile: Callable[[], None] | None = None
        self._order = 0
        self._until_image = 0

    def start_taking_images(self) -> None:
        self._until_image = self.rng.randint(1, self.rng.choice(OPERATIONS))

    def operate(self) -> int:
        """Count one write or sync, about to happen, and take an image if it is time."""
        if self.fault is not None:
            raise self.fault("injected")
        if self.meanwhile is not None:
            self.meanwhile()
        self._order += 1
        self._until_image -= 1
        if self._until_image == 0:
            self.images.append((self.image(), self.acknowledged))
            self.start_taking_images()
        return self._order

    def image(self) -> dict[str, bytes]:
        """Return what the files may hold when the power fails now."""
        mode = self.rng.choice(("nothing", "prefix", "torn", "torn"))
        pending = [write for file in self.files.values() for write in file.pending]
        last = self.rng.choice(pending).order if pending else 0
        share = self.rng.random()
        files = {}
        for name, file in self.files.items():
            content = bytearray(file.synced)
            for write in file.pending:
                if mode == "prefix" and write.order <= last:
                    put(content, write.offset, write.data)
                elif mode == "torn":
                    self._tear(content, write, share)
            files[name] = bytes(content)
        return files

    def _tear(self, content: bytearray, write: Write, share: float) -> None:
        """Put each sector of a write, or none of it, on its own."""
        if write.data is None:
            if self.rng.random() < share:
                put(content, write.offset, None)
            return
        start, end = write.offset, write.offset + len(write.data)
        while start < end:
            stop = min(end, (start // SECTOR + 1) * SECTOR)
            if self.rng.random() < share:
                data = write.data[start - write.offset : stop - write.offset]
                put(content, start, data)
            start = stop


class PowerFile(apsw.VFSFile):
    """A file that tells the disk what happens to it; nothing is really synced."""

    def __init__(self, disk: Disk, name: str, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._file = disk.files.setdefault(Path(name).name, File())

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        order = self._disk.operate()
        super().xWrite(data, offset)
        self._file.pending.append(Write(order, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        order = self._disk.operate()
        super().xTruncate(size)
        self._file.pending.append(Write(order, size, None))

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802
        self._disk.operate()
        if self._disk.fault_at_sync is not None:
            raise self._disk.fault_at_sync("injected")
        self._file.sync()


class PowerVFS(apsw.VFS):
    """A file system on a `Disk`."""

    def __init__(self, name: str, disk: Disk) -> None:
        super().__init__(name, "")
        self._disk = disk

    def xOpen(  # noqa: N802
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        if name is None or not flags[0] & _TRACKED:
            return apsw.VFSFile("", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return PowerFile(self._disk, path, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        self._disk.files.pop(Path(filename).name, None)


@contextmanager
def mounted(disk: Disk) -> Iterator[str]:
    """Give the name of a file system on `disk`."""
    name = f"power-{id(disk)}"
    file_system = PowerVFS(name, disk)
    try:
        yield name
    finally:
        file_system.unregister()
