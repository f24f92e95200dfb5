"""Mirror an account's log into a file: every event once, whatever is restarted.

    python examples/mirror_log.py events.jsonl

The file holds one change set per line, and after it the token to go on from. Both are
written together, so that a kill at any moment costs nothing: on the next start the token
of the last whole line counts.
"""

import argparse
import asyncio
import contextlib
import json
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict

from flexcore.client import Client, connect

PAUSE_SECONDS = 0.5


def last_token(path: Path) -> str:
    """Return the token of the last whole line, and cut what was half written."""
    kept = path.read_bytes() if path.exists() else b""
    whole = kept[: kept.rfind(b"\n") + 1]
    if whole != kept:
        path.write_bytes(whole)
    lines = whole.splitlines()
    return json.loads(lines[-1])["token"] if lines else ""


async def mirror(client: Client, path: Path) -> None:
    """Append what happens until the stream ends; raises what ended it."""
    stream = client.event.WatchEvents(resume_token=last_token(path))
    change_sets = []
    try:
        while (response := await stream.read()) is not grpc.aio.EOF:
            change_sets += [MessageToDict(each) for each in response.change_sets]
            if not change_sets or not response.complete:
                continue  # a heartbeat, or the first part of something large
            line = {"change_sets": change_sets, "token": response.resume_token}
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")
            change_sets = []
    finally:
        # An abandoned stream is neither canceled nor collected by itself.
        stream.cancel()


async def main(path: Path) -> None:
    """Mirror through every restart of the server."""
    async with connect() as client:
        while True:
            try:
                await mirror(client, path)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="is made if it is not there")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args().file))
