"""Messages the way Twilio carries them: signed form webhooks in, form requests out.

Anything that speaks this protocol will do (the phone of this project does); what differs
between carriers is a column of the sender, not code here.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Annotated, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from flexcore.channels import signature
from flexcore.channels.egress import Egress, Forbidden, Lost, NotSent, Reply
from flexcore.channels.handler import Acknowledgement, Webhook
from flexcore.domain import limits
from flexcore.domain.addresses import CAPABILITIES, parse_address
from flexcore.domain.errors import InvalidArgument, Unauthenticated
from flexcore.domain.ids import SID_PATTERN
from flexcore.domain.parts import Media
from flexcore.domain.states import ReceiptStatus
from flexcore.engine.commands import ReceiveMessage, ReceiveStatus
from flexcore.engine.port import CarrierAccount, OutboundMessage, Outcome, SendOutcome

#: carries our reference; a carrier that deduplicates takes a repeated one once
REFERENCE_HEADER = "I-Twilio-Idempotency-Token"
BODY_TOO_LONG = 21617

#: the carrier's word -> ours; the others (queued, sending ...) are no news
_STATUSES: Mapping[str, ReceiptStatus] = {
    "sent": ReceiptStatus.SENT,
    "delivered": ReceiptStatus.DELIVERED,
    "read": ReceiptStatus.READ,
    "undelivered": ReceiptStatus.UNDELIVERED,
    "failed": ReceiptStatus.FAILED,
    "canceled": ReceiptStatus.FAILED,
}

#: fields of a message that its attributes keep, under the carrier's own names
_KEPT = (
    "ProfileName",
    "NumSegments",
    "ButtonText",
    "ButtonPayload",
    "Latitude",
    "Longitude",
    "Address",
    "Label",
)

_FORM = "application/x-www-form-urlencoded"
_CHANNEL_MESSAGE_SID = re.compile(
    rf"[0-9A-Za-z._:=-]{{1,{limits.CHANNEL_MESSAGE_SID_CHARS}}}"
)
#: numbers of carriers; fields of 32 bits show them
_NUMBER = re.compile(r"[0-9]{1,9}")
_NUMBER_MAX = 999_999_999
#: messages read when an unknown send is looked for; the reply must fit its limit
_FIND_MESSAGES = 20

_T = TypeVar("_T")


class TwilioHandler:
    """The handler of provider `twilio`; owns the connections it sends through."""

    acknowledgement = Acknowledgement(
        b'<?xml version="1.0" encoding="UTF-8"?><Response/>', "text/xml"
    )

    def __init__(
        self,
        *,
        allow_http_loopback: bool = False,
        timeout_seconds: float = limits.SEND_TIMEOUT / limits.SECOND,
    ) -> None:
        self._egress = Egress(
            allow_http_loopback=allow_http_loopback, timeout_seconds=timeout_seconds
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._egress.close()

    # --- in ----------------------------------------------------------------------------

    def parse_inbound(self, webhook: Webhook) -> ReceiveMessage:
        """Return the command; see `Handler`."""
        form = _verified_form(webhook)
        kept = {key: form[key] for key in _KEPT if form.get(key)}
        return ReceiveMessage(
            endpoint_id=webhook.endpoint_id,
            channel_message_sid=_message_sid(form),
            address=_canonical(form.get("From", "")),
            proxy_address=_canonical(form.get("To", "")),
            body=form.get("Body", ""),
            media=_media(form),
            attributes=_attributes(kept),
            form=webhook.body,
        )

    def parse_status(self, webhook: Webhook) -> ReceiveStatus | None:
        """Return the command; see `Handler`."""
        form = _verified_form(webhook)
        receipt_sid = webhook.query.get("receipt", "")
        if not (receipt_sid.startswith("DY") and SID_PATTERN.fullmatch(receipt_sid)):
            raise InvalidArgument("receipt", "the query names no receipt (DY...)")
        message_sid = _message_sid(form)
        status = form.get("MessageStatus") or form.get("SmsStatus", "")
        known = _STATUSES.get(status.lower())
        if known is None:
            return None
        return ReceiveStatus(
            endpoint_id=webhook.endpoint_id,
            receipt_sid=receipt_sid,
            channel_message_sid=message_sid,
            status=known,
            error_code=_number(form.get("ErrorCode", "")),
        )

    # --- out ---------------------------------------------------------------------------

    async def send(
        self, account: CarrierAccount, message: OutboundMessage
    ) -> SendOutcome:
        """Hand a message over; see `Transport`."""
        capability = CAPABILITIES[parse_address(message.to, "to").kind]
        if len(message.body) > capability.body_chars_max:
            text = f"the body has more than {capability.body_chars_max} characters"
            return SendOutcome(Outcome.REFUSED, error_code=BODY_TOO_LONG, text=text)
        try:
            reply = await self._egress.request(
                "POST",
                _messages_url(account),
                auth=(account.carrier_account_sid, account.auth_token),
                form=_outbound_form(account, message),
                headers={REFERENCE_HEADER: message.reference},
            )
        except Forbidden as error:
            return SendOutcome(Outcome.REFUSED, text=_cut(f"base_url: {error}"))
        except NotSent as error:
            return SendOutcome(Outcome.RETRY, text=_cut(str(error)))
        except Lost as error:
            return _lost(account, str(error))
        return _outcome(account, reply)

    async def find(
        self, account: CarrierAccount, message: OutboundMessage, claimed: frozenset[str]
    ) -> SendOutcome:
        """Look for an unknown send among the newest of its pair; see `Transport`.

        The list is not narrowed by DateSent: a message the carrier still queues has
        none, and would seem absent.
        """
        query = urlencode(
            {
                "To": message.to,
                "From": message.sent_from,
                "PageSize": str(_FIND_MESSAGES),
            }
        )
        try:
            reply = await self._egress.request(
                "GET",
                f"{_messages_url(account)}?{query}",
                auth=(account.carrier_account_sid, account.auth_token),
            )
        except (Forbidden, NotSent, Lost) as error:
            return SendOutcome(Outcome.UNKNOWN, text=_cut(str(error)))
        page = _decoded(reply.body, _Page) if reply.status == 200 else None
        if page is None:
            text = f"the carrier answered {reply.status} when asked for the message"
            return SendOutcome(Outcome.UNKNOWN, text=text)
        return _judged(page, message, claimed)


class _Accepted(msgspec.Struct):
    sid: str


class _Refused(msgspec.Struct):
    code: Annotated[int, msgspec.Meta(ge=0, le=_NUMBER_MAX)] = 0
    message: str = ""


class _Listed(msgspec.Struct):
    sid: str
    date_created: str
    body: str | None = None
    num_media: str = "0"


class _Page(msgspec.Struct):
    messages: list[_Listed]
    next_page_uri: str | None = None


def _verified_form(webhook: Webhook) -> dict[str, str]:
    """Return the fields, the first of equal keys; nothing is read before it is proven."""
    content_type = webhook.headers.get("Content-Type", "").partition(";")[0]
    if content_type.strip().lower() != _FORM:
        raise InvalidArgument("content-type", f"not {_FORM}")
    if webhook.body.count(b"&") >= limits.WEBHOOK_FIELDS:
        raise InvalidArgument("form", f"more than {limits.WEBHOOK_FIELDS} fields")
    fields = signature.parse_form(webhook.body)
    given = webhook.headers.get(signature.HEADER, "")
    if not signature.verify(webhook.url, fields, webhook.endpoint.auth_token, given):
        raise Unauthenticated(
            f"{signature.HEADER} does not fit: check the sender's auth_token, and that "
            "its public_url is the address the carrier calls"
        )
    form: dict[str, str] = {}
    for key, value in fields:
        form.setdefault(
            key.decode("utf-8", "replace"), value.decode("utf-8", "replace")
        )
    return form


def _message_sid(form: Mapping[str, str]) -> str:
    for key in ("MessageSid", "SmsMessageSid", "SmsSid"):
        sid = form.get(key, "")
        if _CHANNEL_MESSAGE_SID.fullmatch(sid):
            return sid
    raise InvalidArgument("MessageSid", "the form names no message")


def _canonical(address: str) -> str:
    """Return the stored form, or what was given: the engine says what is wrong with it."""
    try:
        return str(parse_address(address, "address"))
    except InvalidArgument:
        return address


def _media(form: Mapping[str, str]) -> tuple[Media, ...]:
    """Return the files; one more than allowed at most, so that too many is noticed."""
    count = min(_number(form.get("NumMedia", "")), limits.MEDIA_COUNT + 1)
    return tuple(
        Media(form[f"MediaUrl{index}"], form.get(f"MediaContentType{index}", ""))
        for index in range(count)
        if form.get(f"MediaUrl{index}")
    )


def _attributes(kept: Mapping[str, str]) -> str:
    cut = {key: value[: limits.WEBHOOK_VALUE_CHARS] for key, value in kept.items()}
    return msgspec.json.encode(cut).decode()


def _number(text: str) -> int:
    return int(text) if _NUMBER.fullmatch(text) else 0


def _messages_url(account: CarrierAccount) -> str:
    sid = quote(account.carrier_account_sid, safe="")
    return f"{account.base_url.rstrip('/')}/2010-04-01/Accounts/{sid}/Messages.json"


def _outbound_form(
    account: CarrierAccount, message: OutboundMessage
) -> Sequence[tuple[str, str]]:
    callback = f"{account.status_url}?receipt={message.receipt_sid}"
    form = [
        ("To", message.to),
        ("From", message.sent_from),
        ("StatusCallback", callback),
    ]
    if message.body:
        form.append(("Body", message.body))
    form.extend(("MediaUrl", media.url) for media in message.media)
    return form


def _outcome(account: CarrierAccount, reply: Reply) -> SendOutcome:
    """Judge a reply to a send.

    5xx says nothing about whether the message was taken, and 408 comes from something
    in between; other 3xx and 4xx say that it was not, and will not be.
    """
    status = reply.status
    if 200 <= status < 300:
        accepted = _decoded(reply.body, _Accepted)
        if accepted is None or not _CHANNEL_MESSAGE_SID.fullmatch(accepted.sid):
            return _lost(account, f"the carrier answered {status} and no sid")
        return SendOutcome(Outcome.SENT, channel_message_sid=accepted.sid)
    wait = _retry_after(reply)
    if status == 429:
        text = "the carrier asked to slow down"
        return SendOutcome(Outcome.RETRY, text=text, retry_after=wait)
    if status == 408 or status >= 500:
        return _lost(account, f"the carrier answered {status}", wait)
    refused = _decoded(reply.body, _Refused) or _Refused()
    text = refused.message or f"the carrier answered {status}"
    return SendOutcome(Outcome.REFUSED, error_code=refused.code, text=_cut(text))


def _lost(account: CarrierAccount, text: str, retry_after: int = 0) -> SendOutcome:
    """Say that nobody knows, unless a carrier that deduplicates makes it not matter."""
    outcome = Outcome.RETRY if account.deduplicates else Outcome.UNKNOWN
    return SendOutcome(outcome, text=_cut(text), retry_after=retry_after)


def _retry_after(reply: Reply) -> int:
    seconds = _number(reply.headers.get("retry-after", ""))
    return min(seconds * limits.SECOND, limits.HOUR)


def _judged(
    page: _Page, message: OutboundMessage, claimed: frozenset[str]
) -> SendOutcome:
    """Match an unknown send with what the carrier has since the attempt.

    A carrier may alter a body (a trial's prefix, straightened quotes), so absence is
    proven only when nothing unclaimed is there at all.
    """
    since = message.attempt_time - limits.CARRIER_CLOCK_SKEW
    times = [_time(listed.date_created) for listed in page.messages]
    if None in times:
        text = "the carrier's list holds a date that cannot be read"
        return SendOutcome(Outcome.UNKNOWN, text=text)
    candidates = [
        listed
        for listed, time in zip(page.messages, times, strict=True)
        if time is not None and time >= since and listed.sid not in claimed
    ]
    same = [listed for listed in candidates if _alike(listed, message)]
    complete = page.next_page_uri is None or any(time < since for time in times if time)
    if len(same) == 1 and complete:
        return SendOutcome(Outcome.SENT, channel_message_sid=same[0].sid)
    if complete and not candidates:
        text = "the carrier does not have the message"
        return SendOutcome(Outcome.RETRY, text=text)
    text = f"the carrier has {len(candidates)} messages that could be this one"
    return SendOutcome(Outcome.UNKNOWN, text=text)


def _alike(listed: _Listed, message: OutboundMessage) -> bool:
    media = _number(listed.num_media)
    return (listed.body or "") == message.body and media == len(message.media)


def _time(date: str) -> int | None:
    try:
        parsed = parsedate_to_datetime(date)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return int(parsed.timestamp()) * limits.SECOND


def _decoded(body: bytes, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _cut(text: str) -> str:
    return text[: limits.REASON_CHARS]
