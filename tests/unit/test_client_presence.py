"""What a client says of who is connected, and says again to a new session."""

from google.protobuf.timestamp_pb2 import Timestamp

from flexcore.client.presence import Presence
from flexcore.v1 import routing_service_pb2 as pb

FIRST, SECOND = Timestamp(seconds=1), Timestamp(seconds=2)


def connected(declares: list[pb.Declare]) -> list[tuple[list[str], int]]:
    return [
        (list(each.connected_worker_sids), each.declare_time.seconds)
        for each in declares
    ]


def test_each_is_said_again_with_the_time_that_was_told() -> None:
    presence = Presence()
    for sids, time in ((["ann", "bob"], FIRST), (["eve"], SECOND)):
        assert presence.say(presence.connect(sids))
        presence.answered(time)
    presence.disconnect(["bob"], untrack=False)

    assert connected(list(presence.say_again())) == [(["ann"], 1), (["eve"], 2)]


def test_an_answer_to_what_was_said_before_is_no_answer_to_what_is_said_now() -> None:
    presence = Presence()
    presence.say(presence.connect(["ann"]))
    presence.disconnect(["ann"], untrack=False)
    presence.say(presence.connect(["ann"]))
    presence.answered(FIRST)

    # The session is cut before the second answer: to be safe, it is said as new.
    assert connected(list(presence.say_again())) == [(["ann"], 0)]
    presence.answered(SECOND)
    assert connected(list(presence.say_again())) == [(["ann"], 2)]


def test_what_a_new_session_was_told_while_somebody_waited_is_not_said_twice() -> None:
    presence = Presence()
    declaration = presence.connect(["ann"])
    assert len(list(presence.say_again())) == 1

    assert presence.say(declaration) is None


def test_nobody_new_is_nothing_to_say() -> None:
    """The server answers only who says that somebody is connected."""
    presence = Presence()
    presence.say(presence.connect(["ann"]))

    assert presence.say(presence.connect(["ann"])) is None


def test_who_is_untracked_is_said_to_one_new_session() -> None:
    presence = Presence()
    presence.connect(["ann"])
    presence.disconnect(["ann"], untrack=True)
    (again,) = presence.say_again()

    assert list(again.untracked_worker_sids) == ["ann"]
    assert list(presence.say_again()) == []
