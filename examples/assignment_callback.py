"""A receiver of assignment callbacks: verifies the signature, and accepts every offer.

`flexcore workspace callback-secret` tells the secret; put this behind https, and its
address into the workflow's assignment_callback_url. A server that runs with --dev calls it
by http on the same machine as well:

    export CALLBACK_SECRET=$(flexcore workspace callback-secret)
    python examples/assignment_callback.py --port 8080
"""

import argparse
import base64
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

#: seconds after which a callback is taken for one that somebody kept and repeats
TOLERANCE = 300


def verified(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    """Tell whether a callback was signed with the secret, and not long ago."""
    name, sent, given = (
        headers.get(f"webhook-{part}", "").encode("utf-8", "surrogateescape")
        for part in ("id", "timestamp", "signature")
    )
    if not sent.isdigit() or abs(now - int(sent)) > TOLERANCE:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, b".".join((name, sent, body)), "sha256")
    expected = b"v1," + base64.b64encode(digest)
    # Two while the secret is being replaced: one of them is ours.
    return any(hmac.compare_digest(expected, each) for each in given.split(b" "))


def instruction_for(offer: Mapping[str, str]) -> dict[str, str]:
    """Say what is to become of an offer; an empty object leaves it to others."""
    task = json.loads(offer["TaskAttributes"])
    print(f"{offer['WorkerSid']} takes {offer['TaskSid']}: {task}", flush=True)
    return {"instruction": "accept"}


def make_app(secret: str) -> web.Application:
    """Return the application that answers at /offers."""

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        if not verified(request.headers, body, secret, time.time()):
            return web.Response(status=403)
        return web.json_response(instruction_for(dict(parse_qsl(body.decode()))))

    app = web.Application()
    app.router.add_post("/offers", answer)
    return app


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8080)
    port = parser.parse_args().port
    secret = os.environ.get("CALLBACK_SECRET")
    if not secret:
        sys.exit("set CALLBACK_SECRET: flexcore workspace callback-secret prints it")
    web.run_app(make_app(secret), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
