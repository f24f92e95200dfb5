"""The backend of all desks: every worker over one session, offers answered as they come.

    python examples/agent_backend.py session.json 3

serves until three tasks are completed. The file keeps the place of the session, so that a
backend that is killed and started again goes on where it was. Each worker's desk would
show what comes; here a line says what a worker is doing, and a desk accepts whatever
rings, and completes it.
"""

import argparse
import asyncio
import contextlib

from flexcore.client import AgentSession, Client, CommandRefused, WorkerEvent, connect


async def list_workers(client: Client) -> list[str]:
    """Return the sids of all workers, page by page."""
    sids, token = [], ""
    while True:
        page = await client.workspace.ListWorkers(page_token=token, page_size=1_000)
        sids += [worker.sid for worker in page.workers]
        token = page.next_page_token
        if not token:
            return sids


async def list_names(client: Client) -> dict[str, str]:
    """Return what the activities are called, by sid; whoever resumes gets no snapshot."""
    page = await client.workspace.ListActivities(page_size=1_000)
    return {each.sid: each.friendly_name for each in page.activities}


def show(event: WorkerEvent, names: dict[str, str]) -> None:
    """Say what a worker is doing. Rows have sids; events tell what these are called."""
    worker = None
    if event.snapshot is not None:
        activities = event.snapshot.activities
        names.update({each.sid: each.friendly_name for each in activities})
        worker = event.snapshot.worker
    elif event.event is not None and event.event.HasField("activity"):
        activity = event.event.activity
        names[activity.sid] = activity.friendly_name
    elif event.event is not None and event.type == "worker.activity.update":
        worker = event.event.worker
    if worker is not None:
        print(
            f"{worker.friendly_name} is {names.get(worker.activity_sid, worker.activity_sid)}"
        )


def ringing(event: WorkerEvent) -> list[str]:
    """Return the offers an event tells of."""
    if event.snapshot is not None:
        return [each.sid for each in event.snapshot.reservations]
    if event.event is not None and event.type == "reservation.created":
        return [event.event.reservation.sid]
    return []


async def answer(session: AgentSession, worker_sid: str, sid: str) -> str:
    """Accept an offer and complete its task; return what became of it.

    The ids of the commands follow from the reservation: whoever comes back after a kill
    says them again, and they have their effect once.
    """
    try:
        await session.command(
            worker_sid, command_id=f"accept {sid}", accept_reservation={"sid": sid}
        )
        done = await session.command(
            worker_sid,
            command_id=f"complete {sid}",
            complete_reservation={"sid": sid, "disposition": "helped"},
        )
    except CommandRefused as refused:
        return f"{sid}: {refused}"  # too late, or somebody else was faster
    return f"{done.task.sid}: completed by {worker_sid}"


async def main(file: str, tasks: int) -> None:
    """Serve until so many tasks are completed."""
    async with connect() as client, client.agent_session(file) as session:
        workers = await list_workers(client)
        await session.subscribe(workers)
        # A real one says so when a browser opens, and `disconnect` when it closes.
        await session.connect(workers)
        names, completed = await list_names(client), 0
        async for event in session:
            show(event, names)
            if event.refusal is not None:
                print(f"{event.worker_sid} left: {event.refusal}")
            for sid in ringing(event):
                print(await answer(session, event.worker_sid, sid))
                completed += 1
            if completed >= tasks:
                return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", help="keeps the place of the session")
    parser.add_argument("tasks", type=int, help="end after so many")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(given.file, given.tasks))
