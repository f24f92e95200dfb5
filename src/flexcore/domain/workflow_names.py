"""What a workflow document names, so that nothing it leads to is deleted."""

import re

import msgspec

_ACTIVITY = re.compile(r"WA[0-9a-f]{32}")


def named_sids(text: str) -> tuple[str, ...]:
    """Return the sids of task queues and activities that a checked document names.

    Queues stand where the format has them, activities anywhere in the expressions. Much
    cheaper than the plan, and computed once: with the revision it is saved with.
    """
    found: set[str] = set()
    left = [msgspec.json.decode(text)]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            queue = value.get("queue")
            if isinstance(queue, str):
                found.add(queue)
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str):
            found.update(_ACTIVITY.findall(value))
    return tuple(sorted(found))
