"""The priority queue of the matcher, alone."""

import random

import pytest

from flexcore._routing import StaleHandle, TaskQueue

INT64_MAX = 2**63 - 1


def drain(queue: TaskQueue) -> list[int]:
    return [queue.pop() for _ in range(len(queue))]


def test_higher_priority_leaves_first_whatever_the_age() -> None:
    queue = TaskQueue()
    queue.push(1, priority=0, start=10, sequence=1)
    queue.push(2, priority=5, start=99, sequence=2)

    assert [2, 1] == drain(queue)


def test_within_a_priority_the_earlier_start_leaves_first() -> None:
    queue = TaskQueue()
    queue.push(1, priority=5, start=20, sequence=1)
    queue.push(2, priority=5, start=10, sequence=2)

    assert [2, 1] == drain(queue)


@pytest.mark.parametrize("pushed", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (2, 1, 3)])
def test_sequence_makes_the_order_total(pushed: tuple[int, ...]) -> None:
    """Without it the order of equals would depend on what else was in the heap."""
    queue = TaskQueue()
    other = queue.push(99, priority=9, start=0, sequence=0)
    for sequence in pushed:
        queue.push(sequence, priority=5, start=10, sequence=sequence)
    queue.remove(other)

    assert [1, 2, 3] == drain(queue)


def test_extreme_keys_compare_without_overflow() -> None:
    queue = TaskQueue()
    queue.push(1, priority=-INT64_MAX - 1, start=0, sequence=1)
    queue.push(2, priority=INT64_MAX, start=INT64_MAX, sequence=INT64_MAX)
    queue.push(3, priority=INT64_MAX, start=-INT64_MAX - 1, sequence=2)

    assert [3, 2, 1] == drain(queue)


def test_peek_leaves_the_task_in_place() -> None:
    queue = TaskQueue()
    queue.push(7, 0, 0, 1)

    assert (7, 7, 1) == (queue.peek(), queue.peek(), len(queue))


def test_peek_and_pop_of_an_empty_queue_are_index_errors() -> None:
    queue = TaskQueue()

    with pytest.raises(IndexError, match="task queue is empty"):
        queue.peek()
    with pytest.raises(IndexError, match="task queue is empty"):
        queue.pop()


def test_remove_takes_a_task_from_the_middle() -> None:
    queue = TaskQueue()
    handles = [queue.push(item, 0, 0, item) for item in range(50)]
    for item in range(0, 50, 3):
        queue.remove(handles[item])
        queue.check()

    assert [item for item in range(50) if item % 3] == drain(queue)


@pytest.mark.parametrize(("priority", "expected"), [(9, [1, 0, 2]), (-9, [0, 2, 1])])
def test_reprioritize_moves_both_ways(priority: int, expected: list[int]) -> None:
    queue = TaskQueue()
    handles = [queue.push(item, 0, 0, item) for item in range(3)]
    queue.reprioritize(handles[1], priority)

    assert expected == list(queue)


def test_iteration_is_in_order_and_takes_nothing() -> None:
    queue = TaskQueue()
    for item in random.Random(1).sample(range(100), 100):
        queue.push(item, priority=item // 10, start=0, sequence=item)

    assert list(queue) == drain(queue)


def test_handles_of_tasks_that_left_are_stale() -> None:
    queue = TaskQueue()
    handle = queue.push(1, 0, 0, 1)
    queue.pop()
    successor = queue.push(2, 0, 0, 2)

    assert handle not in queue
    assert successor in queue
    with pytest.raises(StaleHandle, match=f"handle {handle} is stale"):
        queue.remove(handle)
    with pytest.raises(StaleHandle):
        queue.reprioritize(handle, 5)


@pytest.mark.parametrize("handle", [-1, 0, 1, 2**32, 2**33, INT64_MAX, -INT64_MAX])
def test_invented_handles_are_stale(handle: int) -> None:
    queue = TaskQueue()

    assert handle not in queue
    with pytest.raises(StaleHandle):
        queue.remove(handle)


def test_stale_handle_is_a_key_error() -> None:
    assert issubclass(StaleHandle, KeyError)


def test_numbers_beyond_64_bits_overflow() -> None:
    queue = TaskQueue()

    with pytest.raises(OverflowError):
        queue.push(1, INT64_MAX + 1, 0, 1)
    with pytest.raises(OverflowError):
        queue.remove(INT64_MAX + 1)
    assert len(queue) == 0


def test_a_random_day_agrees_with_a_sorted_list() -> None:
    rng = random.Random(44)
    queue = TaskQueue()
    #: handle -> [-priority, start, sequence]
    tasks: dict[int, list[int]] = {}
    for sequence in range(5_000):
        draw = rng.random()
        if draw < 0.5 or not tasks:
            priority, start = rng.randrange(4), rng.randrange(8)
            handle = queue.push(sequence, priority, start, sequence)
            tasks[handle] = [-priority, start, sequence]
        elif draw < 0.65:
            handle = rng.choice(list(tasks))
            tasks[handle][0] = -rng.randrange(6)
            queue.reprioritize(handle, -tasks[handle][0])
        elif draw < 0.8:
            handle = rng.choice(list(tasks))
            queue.remove(handle)
            del tasks[handle]
        else:
            handle = min(tasks, key=tasks.__getitem__)
            assert queue.pop() == tasks.pop(handle)[2]
        if sequence % 50 == 0:
            queue.check()
            assert list(queue) == [key[2] for key in sorted(tasks.values())]

    assert drain(queue) == [key[2] for key in sorted(tasks.values())]
