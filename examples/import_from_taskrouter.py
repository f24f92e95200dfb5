"""Read a workspace of TaskRouter over its REST API, as a document to import.

    export TWILIO_ACCOUNT_SID=AC... TWILIO_AUTH_TOKEN=...
    python examples/import_from_taskrouter.py WS... > workspace.json
    flexcore workspace import workspace.json

Nothing is changed there. The document has the sids of TaskRouter and `"semantics":
"compat"`, so that it routes as it did. What it leaves out it says at the end;
docs/migrating.md says what else to look at.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import aiohttp

BASE_URL = "https://taskrouter.twilio.com"
PAGE_SIZE = 1_000
ATTEMPTS = 8
#: seconds before a second attempt; doubles with each one, up to the greatest
WAIT_SECONDS = 0.5
WAIT_SECONDS_MAX = 30.0
LEFT_OUT = (
    "left out: tasks, reservations, events and statistics, which stay there; the import"
    " says what else it drops"
)
#: what only says who asked for a resource and when
NOISE = {
    "account_sid",
    "assigned_tasks",
    "available_capacity_percentage",
    "date_created",
    "date_status_changed",
    "date_updated",
    "links",
    "url",
    "worker_sid",
    "workspace_sid",
}

Resource: TypeAlias = dict[str, Any]


class Refused(Exception):
    """TaskRouter does not give what was asked for."""


class TaskRouter:
    """The REST API of one workspace; waits when it is told to slow down."""

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, sid: str, concurrency: int
    ) -> None:
        self._session = session
        self._origin = base_url.rstrip("/")
        self._workspace = f"{self._origin}/v1/Workspaces/{sid}"
        self._calls = asyncio.Semaphore(concurrency)

    async def get(self, path: str = "") -> Resource:
        """Return one resource below the workspace, or the workspace."""
        return await self._get(f"{self._workspace}{path}")

    async def every(self, path: str) -> list[Resource]:
        """Return a list, page by page."""
        found: list[Resource] = []
        url = f"{self._workspace}{path}?PageSize={PAGE_SIZE}"
        while url:
            page = await self._get(url)
            found += page[page["meta"]["key"]]
            url = page["meta"].get("next_page_url") or ""
            if url and not url.startswith(f"{self._origin}/"):
                # The credential is for one server only.
                raise Refused(f"the next page is at another server: {url}")
        return found

    async def _get(self, url: str) -> Resource:
        wait = 0.0
        for attempt in range(ATTEMPTS):
            await asyncio.sleep(min(wait, WAIT_SECONDS_MAX))
            wait = WAIT_SECONDS * 2**attempt
            try:
                async with self._calls, self._session.get(url) as response:
                    if response.ok:
                        found: Resource = await response.json()
                        return found
                    text = f"{response.status} {response.reason}: {url}"
                    told = response.headers.get("Retry-After", "")
                    wait = float(told) if told.isdigit() else wait
                    if response.status != 429 and response.status < 500:
                        raise Refused(text)
            except aiohttp.ClientConnectorError:
                raise  # nobody is there
            except (aiohttp.ClientError, TimeoutError) as error:
                # Of thousands of calls one may be cut off.
                text = f"{type(error).__name__} {error}: {url}"
        raise Refused(f"{text}, {ATTEMPTS} times")


async def read_document(
    router: TaskRouter, progress: Callable[[str], None]
) -> Resource:
    """Return a workspace with all it holds."""
    workspace = {**lean(await router.get()), "semantics": "compat"}
    document: Resource = {"workspace": workspace}
    for section, path in (
        ("activities", "/Activities"),
        ("task_channels", "/TaskChannels"),
        ("task_queues", "/TaskQueues"),
        ("workflows", "/Workflows"),
    ):
        document[section] = [lean(each) for each in await router.every(path)]
        progress(f"{len(document[section])} {section.replace('_', ' ')}")
    workers = await router.every("/Workers")
    document["workers"] = await read_workers(router, workers, progress)
    return document


async def read_workers(
    router: TaskRouter, workers: list[Resource], progress: Callable[[str], None]
) -> list[Resource]:
    """Return workers with their channels, in the order given."""
    done = 0

    async def read(worker: Resource) -> Resource:
        nonlocal done
        if worker.get("attributes") is None:
            # A list may leave them out.
            worker = await router.get(f"/Workers/{worker['sid']}")
        channels = await router.every(f"/Workers/{worker['sid']}/Channels")
        done += 1
        if done % 100 == 0 or done == len(workers):
            progress(f"{done} of {len(workers)} workers")
        return {**lean(worker), "channels": [lean(each) for each in channels]}

    return list(await asyncio.gather(*map(read, workers)))


def lean(resource: Resource) -> Resource:
    """Return what of a resource is worth writing down."""
    return {
        key: value
        for key, value in resource.items()
        # Target workers that are null are an expression: an empty one.
        if key not in NOISE and (value is not None or key == "target_workers")
    }


def arguments() -> argparse.Namespace:
    """Return what was typed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sid", metavar="WS...", help="the workspace")
    parser.add_argument("--base-url", default=BASE_URL, help="where the API is")
    parser.add_argument("--concurrency", type=int, default=8, help="calls at once")
    parser.add_argument(
        "--default-activity",
        action="store_true",
        help="let all workers begin in the default activity, whatever they do now",
    )
    return parser.parse_args()


def credential() -> aiohttp.BasicAuth:
    """Return the credential of the environment."""
    for user, password in (
        ("TWILIO_API_KEY", "TWILIO_API_SECRET"),
        ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
    ):
        if os.environ.get(user) and os.environ.get(password):
            return aiohttp.BasicAuth(os.environ[user], os.environ[password])
    raise Refused("set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or an API key")


async def main(given: argparse.Namespace) -> None:
    """Print the document; say on standard error how far it is."""
    limit = aiohttp.TCPConnector(limit=given.concurrency)
    async with aiohttp.ClientSession(auth=credential(), connector=limit) as session:
        router = TaskRouter(session, given.base_url, given.sid, given.concurrency)
        document = await read_document(
            router, lambda text: print(text, file=sys.stderr)
        )
    if given.default_activity:
        for worker in document["workers"]:
            for key in ("activity_sid", "activity_name", "available"):
                worker.pop(key, None)
    print(json.dumps(document, indent=2, ensure_ascii=False))
    print(LEFT_OUT, file=sys.stderr)


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments()))
    except (Refused, aiohttp.ClientError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
