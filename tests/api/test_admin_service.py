"""AdminService: accounts, keys and what a server says about itself."""

from flexcore import __version__
from tests.api.refusals import refusal
from tests.factories import make_sid
from tests.serving import Serving


async def test_a_server_says_what_it_is(serving: Serving) -> None:
    task = await serving.client.routing.CreateTask()
    info = (await serving.client.admin.GetServerInfo()).server_info

    assert info.version == __version__
    assert info.synchronous.upper() == "FULL"
    assert (info.account_count, info.open_task_count) == (1, 1)
    assert info.head_sequence == task.sequence
    assert info.start_time.seconds == 1_700_000_000
    assert info.data_version >= 1
    assert info.commit_count >= 1
    assert info.dead_letter_count == 0


async def test_a_new_account_has_a_workspace_of_its_own(serving: Serving) -> None:
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="acme")).account
    made = await admin.CreateKey(account_sid=account.sid, friendly_name="main")
    acme = await serving.connect(f"{made.key.sid}.{made.secret}")
    (mine,) = (await serving.client.workspace.ListWorkspaces()).workspaces
    (theirs,) = (await acme.workspace.ListWorkspaces()).workspaces

    assert account.friendly_name == "acme"
    assert made.key.account_sid == account.sid
    assert not made.key.operator
    assert theirs.sid != mine.sid
    await acme.routing.CreateTask()
    assert not (await serving.client.routing.ListTasks()).tasks


async def test_a_secret_is_shown_once(serving: Serving) -> None:
    admin = serving.client.admin
    made = await admin.CreateKey(friendly_name="desk", request_id="r1")
    again = await admin.CreateKey(friendly_name="desk", request_id="r1")
    listed = await admin.ListKeys()

    assert len(made.secret) == 64
    assert again == made
    assert {one.friendly_name for one in listed.keys} == {"first", "desk"}
    assert made.secret.encode() not in listed.SerializeToString()


async def test_a_revoked_key_is_refused_at_once_and_after_a_restart(
    serving: Serving,
) -> None:
    made = await serving.client.admin.CreateKey(friendly_name="desk")
    desk = await serving.connect(f"{made.key.sid}.{made.secret}")
    await desk.routing.ListTasks()
    revoked = (await serving.client.admin.RevokeKey(sid=made.key.sid)).key

    assert revoked.HasField("revoke_time")
    assert (await refusal(desk.routing.ListTasks())).code == "UNAUTHENTICATED"
    await serving.restart()
    desk = await serving.connect(f"{made.key.sid}.{made.secret}")
    assert (await refusal(desk.routing.ListTasks())).code == "UNAUTHENTICATED"


async def test_the_last_key_of_an_account_stays(serving: Serving) -> None:
    (key,) = (await serving.client.admin.ListKeys()).keys
    refused = await refusal(serving.client.admin.RevokeKey(sid=key.sid))

    assert [*refused] == ["FAILED_PRECONDITION", "RESOURCE_REQUIRED"]
    assert refused.metadata == {"sid": key.sid}


async def test_an_operator_sees_the_keys_of_any_account(serving: Serving) -> None:
    admin = serving.client.admin
    account = (await admin.CreateAccount(friendly_name="acme")).account
    made = (await admin.CreateKey(account_sid=account.sid, friendly_name="a")).key
    other = (await admin.CreateKey(account_sid=account.sid, friendly_name="b")).key
    listed = await admin.ListKeys(account_sid=account.sid)

    assert {one.sid for one in listed.keys} == {made.sid, other.sid}
    revoked = await admin.RevokeKey(account_sid=account.sid, sid=made.sid)
    assert revoked.key.sid == made.sid
    refused = await refusal(admin.RevokeKey(sid=other.sid))
    assert refused.code == "NOT_FOUND"


async def test_a_key_that_is_no_operators_stays_in_its_account(
    serving: Serving,
) -> None:
    admin = serving.client.admin
    (first,) = (await admin.ListKeys()).keys
    account = (await admin.CreateAccount(friendly_name="acme")).account
    made = await admin.CreateKey(account_sid=account.sid, friendly_name="main")
    acme = (await serving.connect(f"{made.key.sid}.{made.secret}")).admin

    refused = await refusal(acme.CreateAccount(friendly_name="mine"))
    assert [*refused] == ["PERMISSION_DENIED", "PERMISSION_DENIED"]
    refused = await refusal(acme.CreateKey(friendly_name="mine", operator=True))
    assert refused.code == "PERMISSION_DENIED"
    for call in (
        acme.CreateKey(friendly_name="a", account_sid=first.account_sid),
        acme.ListKeys(account_sid=first.account_sid),
        acme.RevokeKey(sid=first.sid, account_sid=first.account_sid),
        acme.RevokeKey(sid=first.sid),
    ):
        assert (await refusal(call)).code == "NOT_FOUND"
    own = await acme.CreateKey(friendly_name="second")
    assert own.key.account_sid == account.sid
    assert len((await acme.ListKeys()).keys) == 2


async def test_an_operator_may_make_operators(serving: Serving) -> None:
    made = await serving.client.admin.CreateKey(friendly_name="ops", operator=True)
    ops = await serving.connect(f"{made.key.sid}.{made.secret}")

    assert made.key.operator
    assert (await ops.admin.CreateAccount(friendly_name="acme")).account.sid


async def test_what_is_unknown_is_not_found(serving: Serving) -> None:
    admin = serving.client.admin
    for call in (
        admin.RevokeKey(sid=make_sid("SK", 1)),
        admin.CreateKey(account_sid=make_sid("AC", 1), friendly_name="a"),
        admin.ListKeys(account_sid=make_sid("AC", 1)),
    ):
        assert (await refusal(call)).code == "NOT_FOUND"


async def test_only_an_operator_ends_an_operators_key(serving: Serving) -> None:
    admin = serving.client.admin
    (mine,) = (await admin.ListKeys()).keys
    await admin.CreateKey(friendly_name="second operator", operator=True)
    made = await admin.CreateKey(friendly_name="desk")
    desk = await serving.connect(f"{made.key.sid}.{made.secret}")
    error = await refusal(desk.admin.RevokeKey(sid=mine.sid))

    assert list(error) == ["PERMISSION_DENIED", "PERMISSION_DENIED"]
    assert (await admin.RevokeKey(sid=mine.sid)).key.sid == mine.sid
