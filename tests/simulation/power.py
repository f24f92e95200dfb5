"""Cuts the power of the real store, at any moment, and reads what the disk kept.

    python -m tests.simulation.power --images 300 --seed 1

`kill -9` proves nothing about durability, because the page cache survives it. Here the
store runs on a file system that knows, per file, what was synced and what was only
written. At random moments (between batches, within a commit, within a checkpoint) an
image is taken of what a disk may hold after the power fails: of the writes that were not
synced none, the first few, or any, torn at sectors of 512 bytes. Each image is opened by
a plain store and must hold every acknowledged commit; every commit wholly or not at all;
and rows, requests, pairs and outbox that are exactly what the log says.

With `synchronous=NORMAL` the same run must lose commits, or it could not have found them.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec
from rich.console import Console
from rich.progress import track

from flexcore.domain.errors import FlexcoreError
from flexcore.domain.log import ChangeSet, decode_row
from flexcore.domain.model import Row
from flexcore.domain.states import OutboxState, ReservationStatus, TaskStatus
from flexcore.store.interface import Commit, Pair, StoreCorrupt
from flexcore.store.sqlite import SqliteStore
from flexcore.store.tables import TABLES
from tests.factories import (
    make_commit,
    make_conversation,
    make_message,
    make_outbox,
    make_request,
    make_reservation,
    make_sid,
    make_task,
    make_worker_channel,
)
from tests.simulation.disk import Disk, mounted

ACCOUNTS = (make_sid("AC", 1), make_sid("AC", 2))
#: images of one run of the store, and runs on from what an image held
IMAGES_PER_RUN = 6
RUNS_PER_FOLDER = 4


# --- the load --------------------------------------------------------------------------


class Load:
    """Random batches, and what the store must hold after the first `count` of them."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.batches: list[list[Commit]] = []
        self.heads: list[tuple[int, ...]] = [(0,) * len(ACCOUNTS)]
        self._rows: dict[str, dict[str, Row]] = {account: {} for account in ACCOUNTS}

    def rewind(self, count: int) -> None:
        """Forget all but the first `count` batches: the disk did."""
        del self.batches[count:], self.heads[count + 1 :]
        self._rows = {account: self.expected(account).rows for account in ACCOUNTS}

    def next_batch(self) -> list[Commit]:
        """Make a batch that follows the last one; every batch moves a head."""
        heads = dict(zip(ACCOUNTS, self.heads[-1], strict=True))
        batch = []
        for _ in range(self._rng.choice((1, 1, 2, 5, 20))):
            account = self._rng.choice(ACCOUNTS)
            commit = self._commit(account, heads[account])
            assert commit.change_set is not None
            heads[account] = commit.change_set.last_sequence
            self._rows[account].update(commit.change_set.rows())
            batch.append(commit)
        self.batches.append(batch)
        self.heads.append(tuple(heads.values()))
        return batch

    def _commit(self, account: str, head: int) -> Commit:
        number = f"{account}-{head}"
        tasks = [
            row for row in self._rows[account].values() if row.sid.startswith("WT")
        ]
        request = make_request(request_id=number, sequence=head)
        if tasks and self._rng.random() < 0.4:
            changed = self._rng.choice(tasks)
            changed = changed.evolve(
                version=changed.version + 1,
                status=self._rng.choice(list(TaskStatus)),
                attributes=self._attributes(),
            )
            return make_commit(head, changed, account_sid=account, request=request)
        if self._rng.random() < 0.3:
            conversation = make_conversation(attributes=self._attributes())
            message = make_message(conversation_sid=conversation.sid)
            address = f"+1555{self._rng.randrange(20):07}"
            state = self._rng.choice((OutboxState.READY, OutboxState.DONE))
            sid = f"OB{self._rng.randrange(20)}"
            bound = (Pair(address, "+2", ""), Pair(address, "+2", conversation.sid))
            return make_commit(
                head,
                *(conversation, message),
                account_sid=account,
                pairs=bound[: self._rng.randint(1, 2)],
                outbox=(make_outbox(sid=sid, state=state, body=number),),
                subjects=(conversation.sid,),
            )
        task = make_task(attributes=self._attributes(), sequence=head + 1)
        reservation = make_reservation(
            task_sid=task.sid, status=ReservationStatus.PENDING
        )
        channel = self._channel(account)
        return make_commit(
            head,
            *(task, reservation, channel),
            account_sid=account,
            request=request,
            subjects=(reservation.worker_sid,),
        )

    def _channel(self, account: str) -> Row:
        sid = make_sid("WC", self._rng.randrange(10))
        row = self._rows[account].get(sid)
        if row is None:
            return make_worker_channel(sid=sid)
        return row.evolve(version=row.version + 1, last_offered=row.version)

    def _attributes(self) -> str:
        return "x" * self._rng.choice((10, 100, 300, 1_000, 9_000))

    def expected(self, account: str) -> "Content":
        """Fold the batches into what they leave behind."""
        content = Content([], {}, {}, {}, {})
        for commit in (commit for batch in self.batches for commit in batch):
            if commit.account_sid != account or commit.change_set is None:
                continue
            content.log.append(commit.change_set)
            content.rows.update(commit.change_set.rows())
            if commit.request is not None:
                content.requests[commit.request.request_id] = commit.request.sequence
            for pair in commit.pairs:
                content.pairs.pop(pair.address, None)
                if pair.conversation_sid:
                    content.pairs[pair.address] = pair.conversation_sid
            for entry in commit.outbox:
                content.outbox.pop(entry.sid, None)
                if entry.state is not OutboxState.DONE:
                    content.outbox[entry.sid] = entry.state
        return content


class Content(NamedTuple):
    """What the store holds of one account."""

    log: list[ChangeSet]
    rows: dict[str, Row]
    requests: dict[str, int]
    pairs: dict[str, str]
    outbox: dict[str, str]


# --- the check -------------------------------------------------------------------------


class Verdict(NamedTuple):
    """What came of one image: how many batches it held, or what is wrong with it."""

    acknowledged: int
    held: int
    fault: str = ""

    @property
    def lost(self) -> bool:
        return not self.fault and self.held < self.acknowledged


def check(
    folder: Path, image: dict[str, bytes], load: Load, acknowledged: int
) -> Verdict:
    """Open an image with a plain store and compare it with the load."""
    folder.mkdir(mode=0o700)
    for name, content in image.items():
        (folder / name).write_bytes(content)
    try:
        with closing(SqliteStore(folder)) as store:
            return _compare(store, folder / "flexcore.db", load, acknowledged)
    except (apsw.Error, msgspec.DecodeError, FlexcoreError, StoreCorrupt) as error:
        return Verdict(acknowledged, -1, f"{type(error).__name__}: {error}")


def _compare(store: SqliteStore, path: Path, load: Load, acknowledged: int) -> Verdict:
    heads = tuple(
        store.bounds(account)[1] if account in store.accounts() else 0
        for account in ACCOUNTS
    )
    if heads not in load.heads:
        return Verdict(acknowledged, -1, f"heads {heads} are within a batch")
    held = load.heads.index(heads)
    past = Load(random.Random(0))
    past.batches = load.batches[:held]
    with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as connection:
        integrity = connection.pragma("integrity_check")
        if integrity != "ok":
            return Verdict(acknowledged, held, f"integrity_check: {integrity}")
        for account in ACCOUNTS if any(heads) else ():
            expected, found = (
                past.expected(account),
                _content(store, connection, account),
            )
            for name in Content._fields:
                if getattr(found, name) != getattr(expected, name):
                    return Verdict(acknowledged, held, f"{name} of {account} differ")
    return Verdict(acknowledged, held)


def _content(store: SqliteStore, connection: apsw.Connection, account: str) -> Content:
    rows = [
        decode_row(body)
        for table in TABLES.values()
        for (body,) in connection.execute(
            f"SELECT body FROM {table.name} WHERE account = ?",  # noqa: S608
            (account,),
        )
    ]

    def pairs(columns: str, table: str) -> dict:
        statement = f"SELECT {columns} FROM {table} WHERE account = ?"  # noqa: S608
        return dict(connection.execute(statement, (account,)).fetchall())

    return Content(
        log=list(store.read_log(account, 0, "", sys.maxsize)),
        rows={row.sid: row for row in rows},
        requests=pairs("request_id, sequence", "request"),
        pairs=pairs("address, conversation_sid", "pair"),
        outbox=pairs("sid, state", "outbox"),
    )


# --- the runs --------------------------------------------------------------------------


def run(seed: int, synchronous: str) -> Iterator[Verdict]:
    """Cut the power again and again, for ever; yield a verdict per image."""
    rng = random.Random(seed)
    while True:
        load, files = Load(rng), {}
        for _ in range(RUNS_PER_FOLDER):
            root = Path(tempfile.mkdtemp(prefix="flexcore-power-"))
            try:
                disk = _run_store(root / "data", files, load, rng, synchronous)
                verdict = None
                for number, (image, acknowledged) in enumerate(disk.images):
                    verdict = check(root / str(number), image, load, acknowledged)
                    yield verdict
            finally:
                shutil.rmtree(root)
            if verdict is None or verdict.fault:
                break
            files = disk.images[-1][0]
            load.rewind(verdict.held)


def _run_store(
    folder: Path,
    files: dict[str, bytes],
    load: Load,
    rng: random.Random,
    synchronous: str,
) -> Disk:
    """Go on from `files` under load, until there are enough images."""
    folder.mkdir(mode=0o700)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    disk = Disk(rng, files)
    disk.acknowledged = len(load.batches)
    with mounted(disk) as name:
        # Every third folder may lose its power while it is being made.
        if rng.random() < 0.3:
            disk.start_taking_images()
        pages = rng.choice((10, 200, 1_000))
        store = SqliteStore(folder, synchronous, name, checkpoint_pages=pages)
        with closing(store):
            for account in ACCOUNTS:
                store.open_account(account)
            disk.start_taking_images()
            run = _Run(store, disk, load, rng)
            while len(disk.images) < IMAGES_PER_RUN:
                run.commit()
                run.checkpoint()
    return disk


class _Run:
    """A store that is written to, also from within a checkpoint."""

    def __init__(
        self, store: SqliteStore, disk: Disk, load: Load, rng: random.Random
    ) -> None:
        self._store = store
        self._disk = disk
        self._load = load
        self._rng = rng
        #: how many commits the checkpoint that goes on will see yet
        self._more = 0

    def commit(self) -> None:
        refused = self._store.commit(self._load.next_batch())
        assert refused == {}
        self._disk.acknowledged = len(self._load.batches)

    def checkpoint(self) -> None:
        self._more = self._rng.randrange(4)
        self._disk.meanwhile = self._commit_meanwhile
        try:
            self._store.checkpoint()
        finally:
            self._disk.meanwhile = None

    def _commit_meanwhile(self) -> None:
        """Commit as the store's thread may, beside a write of the checkpoint's.

        Towards the end of a checkpoint it has to wait, and here nobody else would go on.
        """
        if self._store._writer._lock.locked() or self._rng.random() > 0.1:
            return
        if self._more:
            self._more -= 1
            self._disk.meanwhile = None
            self.commit()
            self._disk.meanwhile = self._commit_meanwhile


class Tally(NamedTuple):
    """How many images, and of these how many lost a commit or were corrupt."""

    images: int
    lost: int
    corrupt: int
    faults: Sequence[str]


def cut_power(images: int, seed: int, synchronous: str, *, show: bool) -> Tally:
    """Take and check that many images."""
    runs = run(seed, synchronous)
    steps: Sequence[int] | Iterator[int] = range(images)
    if show:
        steps = track(steps, f"synchronous={synchronous}")
    with closing(runs):
        verdicts = [next(runs) for _ in steps]
    faults = [verdict.fault for verdict in verdicts if verdict.fault]
    lost = sum(verdict.lost for verdict in verdicts)
    return Tally(images, lost, len(faults), faults)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.power",
        description="Cuts the power of the store, and checks what the disk kept.",
    )
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed
    if seed is None:
        seed = random.SystemRandom().getrandbits(32)
    console = Console(soft_wrap=True)
    console.print(f"seed {seed}")
    full = cut_power(options.images, seed, "FULL", show=True)
    control = cut_power(max(20, options.images // 5), seed, "NORMAL", show=True)
    for fault in (*full.faults, *control.faults):
        console.print(fault, style="red")
    passed = not (full.lost or full.corrupt or control.corrupt) and control.lost > 0
    console.print(
        f"{'passed' if passed else 'FAILED'}: FULL lost acknowledged commits in"
        f" {full.lost} of {full.images} images, {full.corrupt} corrupt; control NORMAL"
        f" {control.lost} of {control.images}, {control.corrupt} corrupt"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
