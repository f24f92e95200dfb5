"""From an empty server to an accepted reservation: `flexcore serve`, then run this."""

import asyncio

from flexcore.client import connect


async def main() -> None:
    """Make a worker and a task, and accept the reservation that follows."""
    async with connect() as client:
        made = await client.workspace.CreateWorker(
            friendly_name="alice", activity="Available"
        )
        await client.routing.CreateTask(attributes='{"question": "my invoice?"}')
        async for event in client.reservations(made.worker.sid):
            await client.routing.AcceptReservation(sid=event.reservation.sid)
            print(f"alice took {event.task.sid}: {event.task.attributes}")
            break


if __name__ == "__main__":
    asyncio.run(main())
