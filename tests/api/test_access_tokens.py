"""What is no good token of a worker."""

from typing import Any

import jwt
import pytest

from flexcore.domain import limits
from flexcore.v1 import routing_service_pb2 as pb
from tests.api.refusals import refusal
from tests.api.token_holders import (
    SECONDS,
    as_worker,
    first_key,
    hire,
)
from tests.api.world import rules_of
from tests.factories import make_sid
from tests.serving import Serving


def forged(
    serving: Serving,
    worker_sid: str,
    *,
    secret: str | None = None,
    kid: object = None,
    algorithm: str | None = "HS256",
    headers: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """Return a token as ours, but for what is given; a claim that is None is left out."""
    sid, own = first_key(serving)
    all_claims = {
        "iat": SECONDS,
        "exp": SECONDS + 900,
        "grants": {"worker_sid": worker_sid},
        **claims,
    }
    header = {"kid": sid if kid is None else kid, **(headers or {})}
    return jwt.encode(
        {name: value for name, value in all_claims.items() if value is not None},
        own if secret is None else secret,
        algorithm,
        headers={name: value for name, value in header.items() if value != ""},
    )


async def test_only_what_its_key_signed_and_knows_is_a_token(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    admin = serving.client.admin
    (own,) = (await admin.ListKeys()).keys
    account = (await admin.CreateAccount(friendly_name="acme")).account.sid
    acme = await admin.CreateKey(account_sid=account, friendly_name="main")
    good = forged(serving, ann)
    head, body, signature = good.split(".")
    other = forged(serving, await hire(serving, "bob")).split(".")[1]
    bad = {
        "none": forged(serving, ann, secret="", algorithm=None),
        "unsigned": f"{head}.{body}.",
        "HS384": forged(serving, ann, algorithm="HS384"),
        "HS512": forged(serving, ann, algorithm="HS512"),
        "signature": forged(serving, ann, secret="x" * 64),
        "body swapped": f"{head}.{other}.{signature}",
        "no kid": forged(serving, ann, kid=""),
        "unknown kid": forged(serving, ann, kid=make_sid("SK", 1)),
        "kid is no key": forged(serving, ann, kid=account),
        "another account's key": forged(
            serving, ann, kid=acme.key.sid, secret=acme.secret
        ),
        "another account": forged(serving, ann, sub=account),
        "critical extension": forged(serving, ann, headers={"crit": ["x"], "x": 1}),
        "no exp": forged(serving, ann, exp=None),
        "no iat": forged(serving, ann, iat=None),
        "exp is a text": forged(serving, ann, exp=str(SECONDS + 900)),
        "exp beyond all bounds": forged(serving, ann, exp=2**70),
        "exp is not a number": forged(serving, ann, exp=float("nan")),
        "lives too long": forged(serving, ann, exp=SECONDS + 86_401),
        "iat ahead": forged(serving, ann, iat=SECONDS + 31),
        "nbf ahead": forged(serving, ann, nbf=SECONDS + 31),
        "no grants": forged(serving, ann, grants=None),
        "empty grants": forged(serving, ann, grants={}),
        "unknown grant": forged(
            serving, ann, grants={"worker_sid": ann, "identity": "ann"}
        ),
        "no worker": forged(serving, make_sid("WK", 1)),
        "worker is none": forged(serving, own.sid),
        "worker is a list": forged(serving, ann, grants={"worker_sid": [ann]}),
        "for others": forged(serving, ann, aud="somebody"),
        "not a JWT": "a.b.c",
        "dots": "..",
        "oversize": forged(serving, ann, padding="x" * limits.CREDENTIAL_CHARS),
    }
    odd = {}
    for name, token in bad.items():
        client = await serving.connect(token)
        refused = await refusal(client.workspace.GetWorker(sid=ann))
        if [*refused] != ["UNAUTHENTICATED", "CREDENTIAL_INVALID"]:
            odd[name] = refused

    assert odd == {}
    for token in (
        good,
        forged(serving, ann, sub=own.account_sid),
        forged(serving, ann, exp=SECONDS + 86_400),
        forged(serving, ann, iat=SECONDS + 30, nbf=SECONDS + 30),
    ):
        client = await serving.connect(token)
        assert (await client.workspace.GetWorker(sid=ann)).worker.sid == ann


async def test_a_token_ends_to_the_second(serving: Serving) -> None:
    ann = await hire(serving, "ann")
    client = await as_worker(serving, ann)
    serving.clock.advance(15 * limits.MINUTE - 1)
    await client.workspace.GetWorker(sid=ann)
    serving.clock.advance(1)
    refused = await refusal(client.workspace.GetWorker(sid=ann))

    assert [*refused] == ["UNAUTHENTICATED", "CREDENTIAL_EXPIRED"]


async def test_tokens_beyond_the_cache_are_verified_anew(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TOKENS_CACHED", 2)
    workers = [await hire(serving, name) for name in ("ann", "bob", "eve")]
    clients = [await as_worker(serving, sid) for sid in workers]
    for _ in range(2):
        for client, sid in zip(clients, workers, strict=True):
            assert (await client.workspace.GetWorker(sid=sid)).worker.sid == sid

    verified = serving.server.engine._credentials._verified
    assert len(verified) == 2


def test_what_refreshes_may_be_as_long_as_what_opens() -> None:
    field = pb.RefreshTokenRequest.DESCRIPTOR.fields_by_name["token"]
    assert rules_of(field).max_chars == limits.CREDENTIAL_CHARS
