"""Assignment callbacks on the wire: a signed form out, an instruction as JSON back.

The form is TaskRouter's, the signature that of Standard Webhooks: a receiver verifies
`webhook-signature` over `id.timestamp.body` and needs no library for it. An answer
counts when it is 200 and, unless its body is empty, JSON; whatever else came back is a
problem with a name.
"""

import base64
import hmac
from functools import partial
from urllib.parse import urlencode

import msgspec

from flexcore.channels.egress import (
    Dropped,
    Egress,
    Forbidden,
    Lost,
    NotSent,
    Reply,
)
from flexcore.domain import limits
from flexcore.domain.parts import CallbackReason
from flexcore.engine.port import CallbackAnswer, CallbackRequest

_FORM = "application/x-www-form-urlencoded"
#: TaskRouter's, about a call's media
_VOICE = frozenset({"call", "conference", "dequeue", "redirect", "supervise"})


class CallbackCaller:
    """Asks over HTTP; owns the connections it asks through."""

    def __init__(
        self,
        *,
        allow_http_loopback: bool = False,
        timeout_seconds: float = limits.CALLBACK_TIMEOUT / limits.SECOND,
    ) -> None:
        self._egress = Egress(
            allow_http_loopback=allow_http_loopback, timeout_seconds=timeout_seconds
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._egress.close()

    async def call(self, request: CallbackRequest) -> CallbackAnswer:
        """Ask; see `Caller`."""
        try:
            reply = await self._post(request)
        except Forbidden as error:
            return _problem(CallbackReason.FORBIDDEN, str(error))
        except NotSent as error:
            return _problem(CallbackReason.UNREACHABLE, f"no connection: {error}")
        except Lost as error:
            return _problem(CallbackReason.UNREACHABLE, f"no answer: {error}")
        return answer_of(reply)

    async def _post(self, request: CallbackRequest) -> Reply:
        """Ask; once more if it was dropped.

        A receiver may close a connection it kept open just when the next question comes,
        and an offer should not be lost to that.
        """
        body = urlencode(request.form).encode()
        headers = {"Content-Type": _FORM, **signed(request, body)}
        send = partial(
            self._egress.request, "POST", request.url, form=body, headers=headers
        )
        try:
            return await send()
        except Dropped:
            return await send()


def signed(request: CallbackRequest, body: bytes) -> dict[str, str]:
    """Return the headers that prove a request, with a signature for each secret."""
    timestamp = str(request.time // limits.SECOND)
    content = b".".join((request.reference.encode(), timestamp.encode(), body))
    digests = (hmac.digest(secret, content, "sha256") for secret in request.secrets)
    signatures = (f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
    return {
        "webhook-id": request.reference,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def answer_of(reply: Reply) -> CallbackAnswer:
    """Judge a reply: what it asks for, or what is wrong with it."""
    if reply.status != 200:
        return _problem(CallbackReason.STATUS, f"answered {reply.status}, not 200")
    if not reply.body.strip():
        return CallbackAnswer()
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        text = f"answered {kind or 'no content type'}, not application/json"
        return _problem(CallbackReason.CONTENT_TYPE, text)
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _problem(CallbackReason.UNPARSABLE, f"answered no JSON: {error}")
    if not isinstance(found, dict):
        return _problem(CallbackReason.UNPARSABLE, "answered JSON that is no object")
    return _instruction(found.get("instruction"), found.get("activity_sid"))


def _instruction(instruction: object, activity: object) -> CallbackAnswer:
    if instruction in (None, ""):
        text = "answered JSON without an instruction"
        return _problem(CallbackReason.INSTRUCTION_MISSING, text)
    if instruction == "accept":
        return CallbackAnswer("accept")
    if instruction == "reject" and isinstance(activity, str | None):
        return CallbackAnswer("reject", activity or "")
    if instruction == "reject":
        text = "activity_sid: a string is required"
        return _problem(CallbackReason.ACTIVITY_INVALID, text)
    if isinstance(instruction, str) and instruction in _VOICE:
        text = f"instruction {instruction} is for voice"
        return _problem(CallbackReason.INSTRUCTION_UNSUPPORTED, text)
    text = f"instruction {instruction!r} is not accept or reject"
    return _problem(CallbackReason.INSTRUCTION_UNKNOWN, text)


def _problem(reason: CallbackReason, text: str) -> CallbackAnswer:
    return CallbackAnswer(problem=reason, text=text[: limits.REASON_CHARS])
