"""The command line against a server that is a process of its own."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

pytestmark = pytest.mark.slow

FLEXCORE = Path(sys.executable).with_name("flexcore")
#: real seconds after which something that should happen is called missing
PATIENCE = 20.0


def environment(data: Path) -> dict[str, str]:
    """Return the environment with nothing set but the data folder."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("FLEXCORE_")}
    return {**inherited, "FLEXCORE_DATA": str(data)}


def run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command against the server of a data folder."""
    return subprocess.run(
        [FLEXCORE, *arguments],
        env=environment(data),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def answer(data: Path, *arguments: str) -> Any:
    """Run a command that succeeds with --json; return its first line."""
    report = run(data, *arguments, "--json")
    assert report.returncode == 0, report.stderr
    return json.loads(report.stdout.splitlines()[0])


class Running:
    """A command that runs until it is told to end; its lines can be waited for."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [FLEXCORE, *arguments],
            env=environment(data),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        #: events of a console with --json that nobody asked for yet
        self.told: list[Any] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.end()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def line(self) -> str:
        return self.lines.get(timeout=PATIENCE)

    def until(self, event: str) -> Any:
        """Return the next event of a kind; others are kept for later questions."""
        while True:
            for told in self.told:
                if told["event"] == event:
                    self.told.remove(told)
                    return told
            self.told.append(json.loads(self.line()))

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self, number: signal.Signals | None = None) -> int:
        """Close its input, or send a signal; return the exit code."""
        if number is not None:
            self.process.send_signal(number)
        elif self.process.stdin is not None and not self.process.stdin.closed:
            self.process.stdin.close()
        code = self.process.wait(PATIENCE)
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a server that runs for the whole module."""
    folder = tmp_path_factory.mktemp("cli") / "data"
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with Running(folder, "serve", "--dev", *ports) as server:
        server.line()
        yield folder


def test_first_start_shows_a_key_once_and_leaves_it_for_clients(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with Running(data, "serve", *ports) as server:
        served, key = server.line(), server.line()
        code = server.end(signal.SIGTERM)
    with Running(data, "serve", *ports) as server:
        server.line()
        again = server.end(signal.SIGINT)

    assert re.fullmatch(
        r"flexcore 0\.1\.0  grpc 127\.0\.0\.1:\d+  http 127\.0\.0\.1:\d+  fsync on",
        served,
    )
    path = data / "credentials.json"
    known = json.loads(path.read_text())
    assert key == f"key {known['key_sid']}.{known['secret']}"
    assert path.stat().st_mode & 0o077 == 0
    assert (code, again) == (0, 0)
    assert server.lines.empty(), "a second start shows no key"


def test_looser_commits_are_said(tmp_path: Path) -> None:
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    loose = ("--synchronous", "NORMAL")
    with Running(tmp_path / "data", "serve", *loose, *ports) as server:
        assert server.line().endswith("  fsync off")
        assert "fsync off" in run(tmp_path / "data", "status").stdout


def test_data_folder_in_use_is_refused_in_one_line(data: Path) -> None:
    report = run(data, "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")

    assert report.returncode == 1
    assert re.fullmatch(
        rf"data folder {data} is in use by process \d+; stop it or pass --data\n",
        report.stderr,
    )
    assert run(data, "check").returncode == 1


def test_port_in_use_is_a_usage_error(data: Path, tmp_path: Path) -> None:
    address = answer(data, "status")  # it answers, so its port is taken
    known = json.loads((data / "credentials.json").read_text())
    other = ("--data", str(tmp_path / "data"), "--http", "127.0.0.1:0")
    report = run(data, "serve", "--grpc", known["address"], *other)

    assert address["version"]
    assert report.returncode == 2
    assert known["address"] in report.stderr


def test_port_of_webhooks_in_use_is_said_plainly(data: Path, tmp_path: Path) -> None:
    http = json.loads((data / "credentials.json").read_text())["http"]
    address = http.removeprefix("http://")
    other = ("--data", str(tmp_path / "data"), "--grpc", "127.0.0.1:0")
    report = run(data, "serve", "--http", address, *other)

    assert report.returncode == 2
    said = f"--http: cannot listen on {address}: Address already in use\n"
    assert report.stderr.endswith(said)


def test_check_of_a_stopped_server_finds_nothing_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with Running(data, "serve", *ports) as server:
        server.line()
        assert run(data, "task", "create").returncode == 0
        server.end(signal.SIGTERM)

    report = run(data, "check")

    assert report.returncode == 0, report.stdout + report.stderr
    assert re.search(r"^synchronous +FULL$", report.stdout, re.MULTILINE)
    accounts = re.findall(r"AC\w+  (\d+) events  0 wrong", report.stdout)
    assert len(accounts) == 2, "the directory and the first account"


def start_and_stop(data: Path) -> None:
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with Running(data, "serve", *ports) as server:
        server.line()
        server.end(signal.SIGTERM)


def test_lost_key_file_stops_the_server_and_draws_no_other(tmp_path: Path) -> None:
    data = tmp_path / "data"
    start_and_stop(data)
    key_file = data / "secrets.key"
    sealed_with = key_file.read_bytes()
    key_file.unlink()
    report = run(data, "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")

    assert report.returncode == 1
    assert f"{key_file} is missing" in report.stderr
    assert report.stderr.count("\n") == 1
    assert not key_file.exists()
    key_file.write_bytes(sealed_with)
    start_and_stop(data)


def test_lost_database_stops_the_server_and_begins_no_other(tmp_path: Path) -> None:
    data = tmp_path / "data"
    start_and_stop(data)
    (data / "flexcore.db").unlink()
    report = run(data, "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")

    assert report.returncode == 1
    assert "restore flexcore.db" in report.stderr
    assert report.stderr.count("\n") == 1
    (data / "credentials.json").unlink()
    start_and_stop(data)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_spoiled_credentials_are_said_in_one_line(tmp_path: Path, text: str) -> None:
    data = tmp_path / "data"
    start_and_stop(data)
    path = data / "credentials.json"
    known = json.loads(path.read_text())
    path.write_text(text)
    served = run(data, "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    asked = run(data, "status")

    for report in (served, asked):
        assert report.returncode == 1
        assert str(path) in report.stderr
        assert "remove it" in report.stderr
        assert report.stderr.count("\n") == 1
    path.unlink()
    start_and_stop(data)
    assert json.loads(path.read_text())["secret"] == known["secret"]


def test_events_say_where_to_go_on_when_the_server_shuts_down(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with Running(data, "serve", *ports) as server:
        server.line()
        with Running(data, "events", "--json") as following:
            last = json.loads(following.line())
            server.end(signal.SIGTERM)
            assert following.process.wait(PATIENCE) == 3
            assert following.process.stderr is not None
            told = json.loads(following.process.stderr.read())

    assert last["last_sequence"]
    assert told["resume_token"]
    assert f"--token {told['resume_token']}" in told["error"]


def test_status_tells_version_and_counts(data: Path) -> None:
    assert "open tasks" in run(data, "status").stdout
    assert answer(data, "status")["synchronous"].upper() == "FULL"


def test_key_is_created_used_listed_and_revoked(data: Path) -> None:
    made = answer(data, "key", "create", "alice")
    key = f"{made['key_sid']}.{made['secret']}"
    assert run(data, "status", "--key", key).returncode == 0

    revoked = answer(data, "key", "revoke", made["key_sid"])
    assert revoked["revoke_time"]
    refused = run(data, "status", "--key", key)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert made["key_sid"] in run(data, "key", "list").stdout
    assert made["secret"] not in run(data, "key", "list", "--json").stdout


def test_a_token_lets_in_as_its_worker_and_no_further(data: Path) -> None:
    sid = answer(data, "worker", "create", "ann")["sid"]
    signed = answer(data, "token", "worker", sid, "--minutes", "1")["token"]
    assert run(data, "token", "worker", sid).stdout.count(".") == 2

    away = ("worker", "update", sid, "--activity", "Offline", "--key", signed)
    assert answer(data, *away)["sid"] == sid
    for refused in (
        run(data, "task", "create", "--key", signed),
        run(data, "token", "worker", sid, "--key", signed),
        run(data, "token", "worker", "WK" + "0" * 32),
        run(data, "token", "worker", sid, "--minutes", "1441"),
    ):
        assert refused.returncode
        assert refused.stdout == ""


def test_task_goes_from_create_to_cancel(data: Path) -> None:
    task = answer(data, "task", "create", "--attributes", '{"n":1}', "--priority", "3")
    listed = run(data, "task", "list", "--status", "pending", "--json").stdout
    canceled = answer(data, "task", "cancel", task["sid"], "--reason", "enough")

    assert (task["attributes"], task["priority"]) == ('{"n":1}', 3)
    assert task["sid"] in [json.loads(line)["sid"] for line in listed.splitlines()]
    assert canceled["reason"] == "enough"
    assert re.search(
        r"^status +canceled$",
        run(data, "task", "get", task["sid"]).stdout,
        re.MULTILINE,
    )
    assert run(data, "task", "complete", task["sid"]).returncode == 1


def test_task_is_claimed_completed_and_deleted(data: Path) -> None:
    """From a queue that offers nothing, by a worker the queue is for."""
    (everyone,) = (
        json.loads(line)
        for line in run(data, "queue", "list", "--json").stdout.splitlines()
        if '"everyone"' in line
    )
    pull = ("--max-reserved-workers", "0")
    answer(data, "queue", "update", everyone["sid"], *pull)
    worker = answer(data, "worker", "create", "claimer", "--activity", "Available")
    task = answer(data, "task", "create", "--priority", "9")
    found = run(
        data,
        *("task", "list", "--status", "pending", "--status", "reserved"),
        *("--order-by", "priority desc", "--json"),
    ).stdout
    claimed = answer(data, "task", "claim", task["sid"], worker["sid"])
    done = answer(data, "task", "complete", task["sid"], "--disposition", "sold")

    assert json.loads(found.splitlines()[0])["sid"] == task["sid"]
    assert claimed["task_sid"] == task["sid"]
    assert done["disposition"] == "sold"
    members = run(data, "worker", "list", "--queue", "Everyone", "--json").stdout
    assert worker["sid"] in members
    answer(data, "task", "delete", task["sid"])
    assert run(data, "task", "get", task["sid"]).returncode == 1
    answer(data, "worker", "delete", worker["sid"])
    assert worker["sid"] not in run(data, "worker", "list", "--json").stdout
    answer(data, "queue", "update", everyone["sid"], "--max-reserved-workers", "1")
    spare = answer(data, "queue", "create", "spare")
    answer(data, "queue", "delete", spare["sid"])
    report = run(data, "queue", "delete", everyone["sid"])
    assert report.returncode == 1


def test_list_stops_at_its_limit(data: Path) -> None:
    for _ in range(3):
        run(data, "task", "create")

    found = run(data, "task", "list", "--limit", "2", "--json")

    assert len(found.stdout.splitlines()) == 2
    assert "there are more" in found.stderr
    assert not run(data, "task", "list", "--limit", "1000").stderr


def test_refused_expression_is_shown_with_a_caret(data: Path) -> None:
    arguments = ("queue", "create", "odd", "--target-workers", "skills HAS ")
    report = run(data, *arguments)
    told = json.loads(run(data, *arguments, "--json").stderr)

    assert report.returncode == 1
    assert report.stderr.splitlines()[-2:] == ["  skills HAS ", "             ^"]
    assert told["reason"] == "EXPRESSION_INVALID"
    assert told["metadata"]["position"] == "12"


def test_queue_and_worker_are_made_and_changed(data: Path) -> None:
    made = answer(data, "queue", "create", "vip", "--target-workers", "level > 2")
    changed = answer(data, "queue", "update", made["sid"], "--target-workers", "")
    worker = answer(data, "worker", "create", "cy", "--attributes", '{"level":3}')
    moved = answer(data, "worker", "update", worker["sid"], "--activity", "Unavailable")

    assert (made["target_workers"], changed["target_workers"]) == ("level > 2", "")
    assert moved["activity_sid"] != worker["activity_sid"]
    later = ("--activity", "Offline", "--after-current-work")
    idle = answer(data, "worker", "update", worker["sid"], *later)
    assert idle["activity_sid"] == worker["activity_sid"]
    shown = answer(data, "worker", "show", worker["sid"])
    assert shown["connectivity"] == "CONNECTIVITY_UNTRACKED"
    assert shown["work_state"] == "WORK_STATE_IDLE"
    assert "untracked" in run(data, "worker", "list").stdout
    assert "vip" in run(data, "queue", "list").stdout
    assert "cy" in run(data, "worker", "list").stdout


def test_stats_show_queues_and_workers(data: Path) -> None:
    before = answer(data, "stats")
    answer(data, "task", "create")
    worker = answer(data, "worker", "create", "dora", "--activity", "Available")
    report = run(data, "stats")
    after = answer(data, "stats")
    lines = [line.split() for line in report.stdout.splitlines()]

    assert report.returncode == 0, report.stderr
    assert [line[0] for line in lines if line[0] in ("tasks", "workers")] == [
        "tasks",
        "workers",
    ]
    assert {"default", "everyone"} <= {line[0] for line in lines}
    counts = [int(found["cumulative"]["tasks_created"]) for found in (before, after)]
    assert counts[1] == counts[0] + 1
    alone = run(data, "stats", worker["sid"], "--minutes", "1").stdout
    assert "dora" in alone
    assert "everyone" not in alone


def test_stats_of_something_else_are_refused_in_one_line(data: Path) -> None:
    report = run(data, "stats", "WT" + "0" * 32)

    assert report.returncode == 1
    assert len(report.stderr.splitlines()) == 1


def test_events_show_the_log_and_go_on_as_it_grows(data: Path) -> None:
    run(data, "task", "create")
    so_far = run(data, "events", "--no-follow", "--type", "task.created").stdout
    with Running(data, "events", "--type", "task.created") as following:
        for line in so_far.splitlines():
            assert following.line() == line
        task = answer(data, "task", "create")
        assert following.line().endswith(
            f"task.created                     {task['sid']}"
        )
        assert following.end(signal.SIGINT) == 130

    sequences = [int(line.split()[0]) for line in so_far.splitlines()]
    assert sequences == sorted(set(sequences))


def test_phone_and_agent_talk_through_routing(data: Path) -> None:
    for task in run(data, "task", "list", "--json").stdout.splitlines():
        run(data, "task", "cancel", json.loads(task)["sid"])
    for other in run(data, "worker", "list", "--json").stdout.splitlines():
        sid = json.loads(other)["sid"]
        run(data, "worker", "update", sid, "--activity", "Offline")
    with (
        Running(data, "agent", "worker-1", "--json") as agent,
        Running(data, "phone", "+15550001111", "--port", "0", "--json") as phone,
    ):
        agent.until("ready")
        phone.until("ready")
        phone.type("my invoice is wrong")
        offer = agent.until("offered")
        agent.type("hello?")
        refused = agent.until("refused")
        agent.type("accept")
        agent.until("accepted")
        first = agent.until("message")
        agent.type("which one?")
        received = phone.until("received")
        phone.type("that of May")
        second = agent.until("message")
        agent.type("end")
        agent.until("ended")
        agent.type("complete")
        completed = agent.until("completed")
        codes = (phone.end(), agent.end())
    worker = run(data, "worker", "list", "--json").stdout.splitlines()[-1]

    assert offer["attributes"]["customerAddress"] == "+15550001111"
    assert "nobody" in refused["text"]
    assert (first["author"], first["body"]) == ("+15550001111", "my invoice is wrong")
    assert received["body"] == "which one?"
    assert second["body"] == "that of May"
    assert completed["task_sid"] == offer["task_sid"]
    assert codes == (0, 0)
    assert json.loads(worker)["friendly_name"] == "worker-1"


def test_agent_rejects_a_task_and_is_offered_another(data: Path) -> None:
    with Running(data, "agent", "worker-2", "--json") as agent:
        agent.until("ready")
        task = answer(data, "task", "create", "--priority", "9")
        first = agent.until("offered")
        agent.type("reject")
        agent.until("rejected")
        why = answer(data, "explain", task["sid"])["explanation"]
        answer(data, "task", "cancel", task["sid"])
        other = answer(data, "task", "create")
        second = agent.until("offered")
        agent.type("accept")
        agent.until("accepted")
        agent.type("complete")
        agent.until("completed")
        assert agent.end() == 0

    assert (first["task_sid"], first["rule"]) == (task["sid"], "longest_idle")
    assert "refused this task" in why["text"]
    assert why["next_text"] == "it may be offered to worker-2 again"
    assert second["task_sid"] == other["sid"]


def test_waiting_task_is_explained(data: Path) -> None:
    (queue, *_) = run(data, "queue", "list", "--json").stdout.splitlines()
    sid, everybody = (json.loads(queue)[key] for key in ("sid", "target_workers"))
    answer(data, "queue", "update", sid, "--target-workers", 'languages HAS "es"')
    answer(data, "worker", "create", "eva", "--attributes", '{"languages":["en"]}')
    task = answer(data, "task", "create")
    shown = run(data, "explain", task["sid"])
    told = answer(data, "explain", task["sid"])
    refused = run(data, "explain", "WT" + "0" * 32)
    answer(data, "queue", "update", sid, "--target-workers", everybody)

    name = json.loads(queue)["friendly_name"]
    assert shown.returncode == 0, shown.stderr
    first, now, *rest = shown.stdout.splitlines()
    count = told["explanation"]["steps"][0]["workers"]
    assert first == told["explanation"]["text"]
    assert first.startswith(f'0 of {count} workers: languages HAS "es" fails; ')
    assert now == (
        f"now in {name}: 0 of {count} workers suit it, 0 could be offered it"
    )
    assert rest[0] == f'  {count:>6}  languages HAS "es" fails'
    assert any(" would match with es" in line for line in rest[1:-1])
    assert re.fullmatch(
        r"next, at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00:"
        r" its timeout is up and it is canceled",
        rest[-1],
    )
    assert told["task"]["sid"] == task["sid"]
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1


def test_dead_letters_are_listed_and_what_is_none_is_not_replayed(
    data: Path,
) -> None:
    sid = "OB" + "0" * 32
    report = run(data, "dead-letter", "replay", sid)

    assert run(data, "dead-letter", "list").stdout.split() == [
        *("sid", "channel_message_sid", "create_time", "reason")
    ]
    assert report.returncode == 1
    assert sid in report.stderr


def test_phone_of_no_number_is_a_usage_error_and_makes_nothing(tmp_path: Path) -> None:
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with Running(tmp_path / "data", "serve", "--dev", *ports) as server:
        server.line()
        report = run(tmp_path / "data", "phone", "nobody")
        events = run(tmp_path / "data", "events", "--no-follow").stdout

    assert report.returncode == 2
    assert report.stderr.startswith("number: nobody is not a phone number")
    assert "sender.created" not in events


def test_agent_of_an_unknown_activity_makes_no_worker(data: Path) -> None:
    report = run(data, "agent", "nobody", "--activity", "Dancing")

    assert report.returncode == 1
    assert "'Dancing' is no activity" in report.stderr
    assert "nobody" not in run(data, "worker", "list").stdout


def test_phone_without_dev_needs_the_senders_token(tmp_path: Path) -> None:
    ports = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    with Running(tmp_path / "data", "serve", *ports) as server:
        server.line()
        report = run(tmp_path / "data", "phone", "+15550001111")

    assert report.returncode == 1
    assert "--dev" in report.stderr
