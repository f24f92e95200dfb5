"""How a database gets the schema of this version.

Migrations are numbered files that are only ever added. A database remembers each one it
went through with a checksum, so that an edited migration is found out; a database that
went through one we do not know belongs to a newer flexcore and is left alone.
"""

import re
import zlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

import apsw
import msgspec

from flexcore.domain.log import decode_row
from flexcore.store import queries
from flexcore.store.folder import DataFolderError

_FILE = re.compile(r"(\d{4})_(\w+)\.sql\Z")


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> int:
        """Return what the database remembers the text by."""
        return zlib.crc32(self.text.encode())


def load() -> list[Migration]:
    """Read all migrations in order; ValueError when a number is missing or doubled."""
    found = []
    for file in (resources.files(__package__) / "migrations").iterdir():
        match = _FILE.match(file.name)
        if match:
            text = file.read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), match[2], text))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations are not numbered 1, 2, 3 ...")
    return found


def migrate(
    connection: apsw.Connection, migrations: Sequence[Migration], folder: str
) -> int:
    """Bring a database to the last of `migrations` and return that version.

    DataFolderError when the database is newer, or was made by a migration that has
    changed since. Each migration is one transaction.
    """
    sql = queries.load()
    connection.create_scalar_function("row_field", _row_field, 2, deterministic=True)
    connection.execute(sql["create_schema_migration"])
    recorded: list[tuple[Any, ...]] = connection.execute(
        sql["list_schema_migration"]
    ).fetchall()
    known = {migration.version: migration for migration in migrations}
    for version, name, checksum in recorded:
        if version not in known:
            raise DataFolderError(
                f"data folder {folder} has schema version {recorded[-1][0]}, and this"
                f" flexcore knows versions up to {len(known)}; use a newer flexcore"
            )
        if known[version].checksum != checksum:
            raise DataFolderError(
                f"data folder {folder} was made by migration {version} ({name}) with"
                f" checksum {checksum}, and here it has {known[version].checksum}"
            )
    for migration in migrations[len(recorded) :]:
        _apply(connection, migration)
    return len(migrations)


def _row_field(*given: Any) -> Any:
    """Return a field of a row, for columns that a migration adds: (body, name)."""
    body, name = given
    return getattr(decode_row(body), name)


def _apply(connection: apsw.Connection, migration: Migration) -> None:
    sql = queries.load()
    with connection:
        connection.execute(migration.text)
        connection.execute(
            sql["insert_schema_migration"],
            (migration.version, migration.name, migration.checksum),
        )
