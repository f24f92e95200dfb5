"""Who is asked for: waiting tasks by the one worker they want, by sid or by name.

That worker may come, go or change the name; then these tasks have to be told anew.
"""

from collections.abc import Collection

#: a workspace, by what a worker is asked for (sid or friendly_name), and its value
Wanted = tuple[str, str, str]


class Asked:
    """Tasks by whom they want, and back."""

    def __init__(self) -> None:
        self._tasks: dict[Wanted, dict[str, None]] = {}
        self._wanted: dict[str, Wanted] = {}

    def note(self, task_sid: str, wanted: Wanted | None) -> None:
        """Remember whom a task wants; None: nobody in particular. O(1)."""
        if wanted == self._wanted.get(task_sid):
            return
        self.forget(task_sid)
        if wanted is not None:
            self._wanted[task_sid] = wanted
            self._tasks.setdefault(wanted, {})[task_sid] = None

    def forget(self, task_sid: str) -> None:
        """Forget what a task wants that waits no more. O(1)."""
        wanted = self._wanted.pop(task_sid, None)
        if wanted is not None:
            del self._tasks[wanted][task_sid]
            if not self._tasks[wanted]:
                del self._tasks[wanted]

    def by(self, wanted: Wanted) -> Collection[str]:
        """Return the tasks that want somebody; not to be changed."""
        return self._tasks.get(wanted, ())
