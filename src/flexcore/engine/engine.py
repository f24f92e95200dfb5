"""The engine: all accounts of this process behind one Port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from flexcore import __version__
from flexcore.domain import limits
from flexcore.domain.addresses import parse_address
from flexcore.domain.clock import Alarm, Clock
from flexcore.domain.errors import FlexcoreError, NotFound
from flexcore.domain.ids import Ids
from flexcore.domain.log import LogFilter
from flexcore.domain.model import Account as AccountRow
from flexcore.domain.model import (
    AddressConfiguration,
    Key,
    Row,
    Sender,
    Task,
    Worker,
    Workspace,
)
from flexcore.domain.statistics import Query, Report, Standings
from flexcore.engine import commands as c
from flexcore.engine.account import Account, OnOutbox
from flexcore.engine.committer import Committer
from flexcore.engine.credentials import Credentials
from flexcore.engine.decider import directory_handlers, handlers
from flexcore.engine.directory import DIRECTORY_SID
from flexcore.engine.names import names_of
from flexcore.engine.ownership import own_rows
from flexcore.engine.port import (
    CarrierAccount,
    DeadLetter,
    Endpoint,
    Known,
    LogCursor,
    LogEnd,
    LogPage,
    ServerInfo,
    TailBatch,
    Voucher,
)
from flexcore.engine.reporting.board import Boards
from flexcore.engine.reporting.history import History
from flexcore.engine.reporting.statistics import Statistics
from flexcore.engine.routing.explaining import Explaining
from flexcore.engine.routing.explanation import Explanation
from flexcore.engine.setup.searches import Search
from flexcore.engine.vault import Vault
from flexcore.engine.vouching import Vouching
from flexcore.store.interface import OutboxEntry, Store

#: commands that are the directory's to decide
_DIRECTORY = (c.CreateAccount, c.CreateKey, c.RevokeKey)
#: lists that are answered from the directory's rows
_DIRECTORY_KINDS = (AccountRow, Key)
_OPERATOR = c.Principal(DIRECTORY_SID, "server", operator=True)


class Engine:
    """Every account of a store, recovered and deciding; implements Port.

    With `allow_loopback` callbacks may go to this machine.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        alarm: Alarm,
        ids: Ids,
        vault: Vault,
        on_outbox: OnOutbox,
        *,
        allow_loopback: bool = False,
    ) -> None:
        self._allow_loopback = allow_loopback
        self._store = store
        self._clock = clock
        self._alarm = alarm
        self._ids = ids
        self._vault = vault
        self._on_outbox = on_outbox
        self._committer = Committer(store, clock, alarm)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="flexcore-reader")
        self._statistics = Statistics(History(store, self._readers), clock)
        self._boards = Boards(clock, alarm)
        self._accounts: dict[str, Account] = {}
        self._vouching: dict[str, Vouching] = {}
        self._started = clock.now()
        #: one at a time between a claim and its use, so that none is given back too early
        self._claiming = asyncio.Lock()
        self._explaining = Explaining(clock)
        self._credentials = Credentials(self._accounts, vault, clock)

    # life

    def start(self) -> None:
        """Recover the directory and every account it knows, and begin."""
        self._store.open_account(DIRECTORY_SID)
        self._store.begin_epochs(self._clock.now())
        self._open(DIRECTORY_SID)
        self._clock.raise_floor(self._directory.watermark)
        for row in self._directory.state.of_kind(AccountRow):
            self._store.open_account(row.sid)
            self._open(row.sid)
        for account in self._accounts.values():
            self._clock.raise_floor(account.watermark)
        self._committer.start()
        for account in self._accounts.values():
            account.start()

    def _open(self, sid: str) -> Account:
        decide = (
            directory_handlers(self._vault)
            if sid == DIRECTORY_SID
            else handlers(self._vault, allow_loopback=self._allow_loopback)
        )
        account = Account(
            sid,
            store=self._store,
            committer=self._committer,
            clock=self._clock,
            alarm=self._alarm,
            ids=self._ids,
            handlers=decide,
            on_outbox=self._on_outbox,
        )
        self._accounts[sid] = account
        self._vouching[sid] = Vouching(account, self._clock, self._alarm)
        return account

    async def end_streams(self) -> None:
        """Let every stream end at a position it can be resumed from, a few at a time.

        Those who come back would otherwise all come at once.
        """
        for vouching in self._vouching.values():
            vouching.close()
        for account in self._accounts.values():
            while account.tail.close(limits.DRAIN_STREAMS):  # noqa: ASYNC110  # a pause
                await asyncio.sleep(limits.DRAIN_PAUSE / limits.SECOND)

    async def close(self) -> None:
        """Refuse new work, make everything decided durable, and stop."""
        for vouching in self._vouching.values():
            vouching.close()
        for account in self._accounts.values():
            await account.close()
        await self._committer.close()
        for account in self._accounts.values():
            account.abandon()
        self._readers.shutdown()

    @property
    def empty(self) -> bool:
        """Say whether nobody can use this data: no first start was ever finished."""
        return next(self._directory.state.of_kind(Key), None) is None

    @property
    def _directory(self) -> Account:
        return self._accounts[DIRECTORY_SID]

    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts by sid, for checks."""
        return self._accounts

    # Port

    async def submit(self, principal: c.Principal, command: c.Command) -> c.Answer:
        """Decide `command` and return when its answer is durable."""
        if isinstance(command, _DIRECTORY):
            return await self._submit_directory(principal, command)
        account = self._account(principal.account_sid)
        if not isinstance(command, c.CreateSender | c.CreateAddressConfiguration):
            return await account.submit(principal, command)
        address = str(parse_address(command.address, "address"))
        claim = c.ClaimAddress(address=address, account_sid=account.sid)
        async with self._claiming:
            await self._directory.submit(_OPERATOR, claim)
            try:
                return await account.submit(principal, command)
            except FlexcoreError:
                await self._release_unused(account, address)
                raise

    async def _release_unused(self, account: Account, address: str) -> None:
        """Give an address back if nothing of the account uses it."""
        kinds = (Sender, AddressConfiguration)
        if any(account.state.count(kind, "address", address) for kind in kinds):
            return
        release = c.ReleaseAddress(address=address, account_sid=account.sid)
        # A claim that cannot be given back now is by the next refusal.
        with suppress(FlexcoreError):
            await self._directory.submit(_OPERATOR, release)

    async def _submit_directory(
        self, principal: c.Principal, command: c.Command
    ) -> c.Answer:
        answer = await self._directory.submit(principal, command)
        if isinstance(command, c.CreateAccount):
            # Whoever repeats this may come after a crash between the two.
            sid = answer.rows[0].sid
            if sid not in self._accounts:
                await self._committer.in_thread(partial(self._store.open_account, sid))
            if sid not in self._accounts:  # nobody else came first meanwhile
                self._open(sid).start()
            who = c.Principal(sid, principal.actor)
            await self._accounts[sid].submit(who, c.CreateDefaults())
        return answer

    async def explain(self, principal: c.Principal, task_sid: str) -> Explanation:
        """Return why a task is where it is, once all it rests on is durable."""
        account = self._account(principal.account_sid)
        return await self._explaining.explain(account, principal, task_sid)

    def tail(
        self,
        principal: c.Principal,
        after: int | None,
        subjects: Sequence[str] = ("",),
        log_filter: LogFilter | None = None,
        known: Known | None = None,
    ) -> AsyncIterator[TailBatch]:
        """Yield change sets after a position, for ever."""
        tail = self._account(principal.account_sid).tail
        return tail.follow(after, subjects, log_filter, known)

    def cursor(self, principal: c.Principal, after: int | None = None) -> LogCursor:
        """Return a cursor at a sequence, or at the end."""
        return self._account(principal.account_sid).tail.open(after)

    def workspace_of(self, principal: c.Principal, worker_sid: str) -> str:
        """Return the sid of a worker's workspace; "" when there is no such worker."""
        state = self._account(principal.account_sid).state
        worker = state.find(worker_sid, Worker)
        return worker.workspace_sid if worker is not None else ""

    def vouch(self, principal: c.Principal, ended: Callable[[], None]) -> Voucher:
        """Return what a session says of its workers."""
        self._account(principal.account_sid)
        return self._vouching[principal.account_sid].open(ended)

    def log_end(self, principal: c.Principal) -> LogEnd:
        """Return where the log is, and in which epoch."""
        account = self._account(principal.account_sid)
        return LogEnd(account.epoch, account.tail.head)

    def check_epoch(self, principal: c.Principal, epoch: int, sequence: int) -> None:
        """Raise OutOfRange when the log did not come to a sequence in an epoch."""
        self._account(principal.account_sid).epochs.check(epoch, sequence)

    def check_place(self, principal: c.Principal, sequence: int) -> None:
        """Raise OutOfRange when the log does not hold what comes after a sequence."""
        self._account(principal.account_sid).tail.check(sequence)

    async def find_time(self, principal: c.Principal, time: int) -> int:
        """Return the sequence after which change sets are not older than a time."""
        loop = asyncio.get_running_loop()
        sid = principal.account_sid
        find = partial(self._store.find_time, sid, time)
        return (await loop.run_in_executor(self._readers, find)).after

    def now(self) -> int:
        """Return the time in microseconds."""
        return self._clock.now()

    def sign(self, body: bytes) -> bytes:
        """Return what proves that this server wrote `body`."""
        return self._vault.sign(body)

    async def list(
        self,
        principal: c.Principal,
        kind: type[Row],
        where: Mapping[str, c.Filter],
        after: c.Place | None,
        limit: int,
        order_by: str = "",
    ) -> c.Page:
        """Return rows of `kind`, in the store's reader thread."""
        sid = principal.account_sid
        if kind in _DIRECTORY_KINDS:
            where = {**where, "account_sid": sid}
            sid = DIRECTORY_SID
        where = own_rows(self._account(sid).state, principal, kind, where)
        loop, now = asyncio.get_running_loop(), self._clock.now()
        search = Search(self._store, sid, kind, where, order_by)
        while not await loop.run_in_executor(self._readers, search.go_on, after, limit):
            pass  # other lists have their turn between two slices
        names = names_of(self._account(principal.account_sid).state, search.found)
        return c.Page(tuple(search.found), search.after, now, names)

    async def statistics(self, principal: c.Principal, query: Query) -> Report:
        """Return figures of routing."""
        account = self._account(principal.account_sid)
        return await self._statistics.report(account, principal, query)

    def watch_statistics(
        self,
        principal: c.Principal,
        workspace_sid: str,
        task_queue_sids: Sequence[str],
    ) -> AsyncIterator[Standings]:
        """Yield how things stand, then what changed, for ever."""
        account = self._account(principal.account_sid)
        return self._boards.watch(account, principal, workspace_sid, task_queue_sids)

    async def events(
        self,
        principal: c.Principal,
        log_filter: LogFilter,
        window: tuple[int, int],
        after: tuple[int, int] | None,
        limit: int,
    ) -> LogPage:
        """Return change sets of a window with an event the filter shows, in order."""
        account = self._account(principal.account_sid)
        return await self._statistics.events(account, log_filter, window, after, limit)

    def authenticate(self, credential: str) -> c.Principal:
        """Return whom a credential stands for."""
        return self._credentials.check(credential)

    def key_secret(self, key: Row) -> str:
        """Return the secret of a key."""
        assert isinstance(key, Key)
        return self._vault.open(key.sealed_secret, key.sid)

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """Return what an inbound webhook's id stands for."""
        for account in self._accounts.values():
            for sender in account.state.where(Sender, "endpoint_id", endpoint_id):
                return Endpoint(
                    principal=c.Principal(account.sid, sender.sid),
                    sender_sid=sender.sid,
                    provider=sender.provider,
                    public_url=sender.public_url,
                    auth_token=self._vault.open(sender.sealed_auth_token, sender.sid),
                )
        raise NotFound("endpoint", endpoint_id)

    def carrier_account(self, account_sid: str, sender_sid: str) -> CarrierAccount:
        """Return where and as whom a sender's messages leave."""
        sender = self._account(account_sid).state.find(sender_sid, Sender)
        if sender is None:
            raise NotFound("sender", sender_sid)
        path = f"/inbound/{sender.provider}/{sender.endpoint_id}/status"
        return CarrierAccount(
            provider=sender.provider,
            base_url=sender.base_url,
            carrier_account_sid=sender.carrier_account_sid,
            auth_token=self._vault.open(sender.sealed_auth_token, sender.sid),
            status_url=sender.public_url + path,
            deduplicates=sender.deduplicates,
        )

    def callback_secrets(self, account_sid: str, workspace: Row) -> Sequence[bytes]:
        """Return what signs the callbacks of a workspace: the newest, the one before."""
        assert isinstance(workspace, Workspace)
        newest = workspace.callback_secret
        # A workspace may have the sid of another account's: both were imported.
        of = f"callback {account_sid} {workspace.sid}"
        return [
            self._vault.derive(f"{of} {number}")
            for number in range(newest, max(newest - 2, -1), -1)
        ]

    def dead_letters(
        self, principal: c.Principal, before: tuple[int, str] | None, limit: int
    ) -> Sequence[DeadLetter]:
        """Return what was given up or refused, newest first."""
        end = before or (self._clock.now() + 1, "")
        found = self._store.dead_letters(principal.account_sid, end, limit)
        letters = [
            DeadLetter(
                sid=row.sid if isinstance(row, OutboxEntry) else "",
                channel_message_sid=row.channel_message_sid,
                time=row.create_time if isinstance(row, OutboxEntry) else row.time,
                reason=row.reason,
            )
            for row in found
        ]
        return sorted(letters, key=lambda letter: letter.place, reverse=True)[:limit]

    def info(self, principal: c.Principal) -> ServerInfo:
        """Return what the server says about itself to this account."""
        account = self._account(principal.account_sid)
        facts = self._store.facts()
        state = account.state
        open_tasks = sum(
            state.count(Task, "open_workspace_sid", workspace.sid)
            for workspace in state.of_kind(Workspace)
        )
        return ServerInfo(
            version=__version__,
            synchronous=facts["synchronous"],
            accounts=len(self._accounts) - 1,
            open_tasks=open_tasks,
            head_sequence=account.tail.head,
            start_time=self._started,
            data_version=int(facts["data_version"]),
            commits=self._committer.commits,
            dead_letters=self._store.count_dead_letters(account.sid),
        )

    async def submit_as_account(self, account_sid: str, command: c.Command) -> c.Answer:
        """Decide a command of the machinery, such as the outbox's."""
        return await self.submit(c.Principal(account_sid, "outbox"), command)

    def _account(self, sid: str) -> Account:
        account = self._accounts.get(sid)
        if account is None:
            raise NotFound("account", sid)
        return account


async def first_start(engine: Engine) -> Key:
    """Return an operator's key, after creating what is missing up to it.

    That is the first account and its workspace; a first start may have been cut short
    anywhere.
    """
    directory = engine.accounts()[DIRECTORY_SID].state
    create = c.CreateAccount(friendly_name="default")
    accounts = sorted(directory.of_kind(AccountRow), key=lambda row: row.create_time)
    if accounts:
        sid = accounts[0].sid
        await engine.submit(c.Principal(sid, "server"), c.CreateDefaults())
    else:
        sid = (await engine.submit(_OPERATOR, create)).rows[0].sid
    keys = [
        key
        for key in directory.where(Key, "account_sid", sid)
        if key.operator and not key.revoke_time
    ]
    if keys:
        return min(keys, key=lambda key: key.create_time)
    first = c.CreateKey(account_sid=sid, friendly_name="first", operator=True)
    key = (await engine.submit(_OPERATOR, first)).rows[0]
    assert isinstance(key, Key)
    return key
