"""The docs are true: commands exist, examples run, diagrams and words are the code's."""

import asyncio
import itertools
import json
import os
import pty
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from flexcore.cli.app import app
from flexcore.domain import limits
from flexcore.domain.documents.fields import DROPPED
from flexcore.domain.expressions import Context, parse
from flexcore.domain.ids import RESOURCES
from flexcore.domain.semantics import POLICIES
from flexcore.domain.states import CONSEQUENCES, MACHINES
from flexcore.services.policy import Access, policy_of
from flexcore.services.registry import SERVICES
from flexcore.v1 import routing_pb2, workspace_pb2
from tests.serving import Serving

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES += [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("docs/*.md"))]
TEXTS = {name: (ROOT / name).read_text() for name in PAGES}


def blocks(text: str) -> Iterator[str]:
    """Yield the lines of a page that are commands: indented, outside of fences."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"^    (\S.*)$", text, re.MULTILINE)


def quoted(text: str) -> set[str]:
    """Return what stands in backticks."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`([^`\n]+)`", text))


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """Return the command that words name, and the words that are left."""
    command: Any = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    return command, words


def commands(name: str) -> Iterator[list[str]]:
    """Yield the words of every command a page tells to type."""
    for line in (*blocks(TEXTS[name]), *quoted(TEXTS[name])):
        words = line.split()
        if words[0].rpartition("/")[2] in ("flexcore", "make", "python"):
            yield words


@pytest.mark.parametrize("name", PAGES)
def test_commands_of_the_docs_exist(name: str) -> None:
    targets = set(
        re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    for program, *words in commands(name):
        if program == "make":
            assert set(words) - {"..."} <= targets, words
        elif program.endswith("python"):
            scripts = [word for word in words if word.endswith(".py")]
            assert all((ROOT / script).is_file() for script in scripts), words
        else:
            command, rest = find_command(words)
            known = {option for each in command.params for option in each.opts}
            known |= {"--help"}
            assert not hasattr(command, "commands") or not rest or rest[0] in known
            assert {w for w in rest if w.startswith("--")} <= known, words


def test_readme_begins_with_the_two_commands() -> None:
    found = [" ".join(words) for words in commands("README.md")]

    assert found[:2] == ["make demo", "make test"]
    assert ".venv/bin/flexcore serve --dev" in found


def paths(text: str) -> Iterator[str]:
    """Yield what looks like a file or folder of the project."""
    for word in quoted(text):
        if re.fullmatch(r"[\w./-]+/[\w.-]*|[\w.-]+\.(md|py|toml|proto|pyx|sql)", word):
            yield word
    yield from re.findall(r"\]\(([^)#:]+)\)", text)


@pytest.mark.parametrize("name", PAGES)
def test_files_the_docs_name_exist(name: str) -> None:
    roots = [ROOT / name, ROOT / "x", ROOT / "src/flexcore/x", ROOT / "protos/x"]

    missing = {
        path
        for path in paths(TEXTS[name])
        if not path.startswith(".venv/")
        and not any((root.parent / path).exists() for root in roots)
    }

    assert missing == set()


async def test_readme_example_accepts_a_task(serving: Serving, tmp_path: Path) -> None:
    (example,) = re.findall(
        r"^```python\n(.*?)^```", TEXTS["README.md"], re.DOTALL | re.MULTILINE
    )
    script = tmp_path / "example.py"
    script.write_text(example)

    report = await _run(serving, script)

    assert len([line for line in example.splitlines() if line]) <= 15
    assert len(re.findall(r"\.(?:[A-Z]\w+|reservations)\(", example)) <= 4
    (printed,) = re.findall(r"prints\s+`([^`]+)`", TEXTS["README.md"])
    assert report == f"{printed}\n"


async def _run(serving: Serving, script: Path, *arguments: str) -> str:
    """Run a script against a server, with nothing but the data folder set."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("FLEXCORE_")},
        "FLEXCORE_DATA": str(serving.data),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        script,
        *arguments,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert errors.decode() == ""
    return output.decode()


async def test_mirror_holds_every_event_once_through_a_torn_line(
    serving: Serving, tmp_path: Path
) -> None:
    example = runpy.run_path(str(ROOT / "examples/mirror_log.py"))
    path = tmp_path / "events.jsonl"

    async def mirror_until(sequence: int) -> None:
        task = asyncio.create_task(example["mirror"](serving.client, path))
        async with asyncio.timeout(10):
            while str(sequence) not in _last_sequences(path)[-1:]:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    first = await serving.client.routing.CreateTask()
    await mirror_until(first.sequence)
    with path.open("a") as file:
        file.write('{"change_sets": [{"lastSeq')
    second = await serving.client.routing.CreateTask()
    await mirror_until(second.sequence)

    assert _sequences(path) == list(range(1, second.sequence + 1))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("agent_backend.py", "required: file, tasks"),
        ("mirror_log.py", "required: file"),
        ("import_from_taskrouter.py", "required: WS..."),
        ("assignment_callback.py", "set CALLBACK_SECRET"),
    ],
)
def test_an_example_that_is_told_too_little_says_what_it_needs(
    name: str, said: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "CALLBACK_SECRET"}
    report = subprocess.run(
        [sys.executable, ROOT / "examples" / name],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert report.returncode
    assert said in report.stderr.splitlines()[-1]
    assert "Traceback" not in report.stderr


async def test_a_backend_serves_all_desks_and_goes_on_where_it_was(
    serving: Serving, tmp_path: Path
) -> None:
    client, file = serving.client, str(tmp_path / "session.json")
    setup = client.workspace
    for name in ("ann", "bob"):
        made_worker = await setup.CreateWorker(friendly_name=name, activity="Available")
    script = ROOT / "examples/agent_backend.py"
    before: set[str] = set()
    # What was given last before the end comes again, and is answered as it was.
    for count, again, doing in (
        (3, 0, ["ann is Available", "bob is Available"]),
        (2, 1, ["bob is Ready"]),
    ):
        made = [(await client.routing.CreateTask()).task.sid for _ in range(count)]
        report = await _run(serving, script, file, str(count + again))

        found = [await client.routing.GetTask(sid=sid) for sid in made]
        assert [each.task.disposition for each in found] == ["helped"] * count
        lines = report.splitlines()
        # They were created at one time, so either comes first.
        assert sorted(line for line in lines if ":" not in line) == doing
        told = {line.partition(":")[0] for line in lines if ":" in line}
        assert set(made) <= told <= {*made, *before}
        assert len(told) == count + again
        before |= set(made)
        if not again:  # what it did not see is told to it, names too
            await setup.CreateActivity(friendly_name="Ready", available=True)
            await setup.UpdateWorker(sid=made_worker.worker.sid, activity="Ready")


async def test_a_wall_shows_queues_workers_and_tasks(serving: Serving) -> None:
    client = serving.client
    await client.workspace.CreateWorker(friendly_name="ann", activity="Available")
    for _ in range(3):
        await client.routing.CreateTask()
    queue = (await client.workspace.ListTaskQueues()).task_queues[0].friendly_name
    serving.clock.advance(5 * limits.SECOND)
    await client.routing.ListTasks()

    report = await _run(serving, ROOT / "examples/supervisor_wall.py", "--once")

    tasks, workers, shown = report.splitlines()
    assert tasks == "tasks pending=2 reserved=1 assigned=0 wrapping=0"
    assert "Available=1" in workers
    assert shown == (
        f"queue {queue}  waiting=3  longest=0:05  in time=-  workers=1 of 1"
    )


async def test_a_wall_on_a_terminal_is_drawn(serving: Serving) -> None:
    await serving.client.routing.CreateTask()
    shown, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "examples/supervisor_wall.py",
        "--once",
        env={**os.environ, "FLEXCORE_DATA": str(serving.data), "TERM": "xterm"},
        stdout=terminal,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        _, errors = await process.communicate()
    drawn = os.read(shown, 65_536).decode()
    os.close(shown)
    os.close(terminal)

    assert (process.returncode, errors) == (0, b"")
    assert "\x1b[" in drawn
    assert "waiting=" not in drawn
    assert "everyone" in drawn.rpartition("queues")[2]


def _last_sequences(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = path.read_text().splitlines()
    return [
        change_set["lastSequence"]
        for line in lines
        if line.endswith("}")
        for change_set in json.loads(line)["change_sets"]
    ]


def _sequences(path: Path) -> list[int]:
    return [
        int(event["sequence"])
        for line in path.read_text().splitlines()
        for change_set in json.loads(line)["change_sets"]
        for event in change_set["events"]
    ]


def test_diagrams_are_those_of_the_tables() -> None:
    page = runpy.run_path(str(ROOT / "docs/print_states.py"))["page"]()

    assert page == TEXTS["docs/states.md"], (
        "python docs/print_states.py > docs/states.md"
    )
    assert all(f"\n## {name}\n" in page for name in MACHINES)


def test_semantics_are_those_of_the_policies_and_the_vectors() -> None:
    page = runpy.run_path(str(ROOT / "docs/print_semantics.py"))["page"]()

    assert page == TEXTS["docs/semantics.md"], (
        "python docs/print_semantics.py > docs/semantics.md"
    )
    assert all(f"\n| `{name}` |" in page for name in POLICIES)


def test_figures_of_the_readme_are_those_that_were_kept() -> None:
    printer = runpy.run_path(str(ROOT / "docs/print_figures.py"))
    _, _, rest = TEXTS["README.md"].partition(printer["BEGIN"])
    shown, _, _ = rest.partition(printer["END"])

    assert shown == printer["table"](), "python docs/print_figures.py"
    assert printer["figures"]().keys() <= printer["MEANINGS"].keys()
    assert shown.count("python -m benchmarks") == len(printer["figures"]()) > 0


@pytest.mark.parametrize(
    "name",
    [
        "ARCHITECTURE.md",
        "docs/consistency.md",
        "docs/migrating.md",
        "protos/flexcore/v1/event_service.proto",
    ],
)
def test_pages_say_how_long_the_log_is_held(name: str) -> None:
    """It is no option: nothing reads another value than the limit's."""
    text = re.sub(r"\s+(?://\s)?", " ", (ROOT / name).read_text())

    assert f"{limits.LOG_RETENTION // limits.DAY} days" in text
    assert "configured otherwise" not in text


def test_the_page_for_operators_names_what_is_there() -> None:
    text = re.sub(r"\s+", " ", TEXTS["docs/operating.md"])
    source = "".join(
        path.read_text() for path in (ROOT / "src/flexcore/engine").glob("*.py")
    )
    log = text.partition("## The log")[2].partition("## ")[0]
    events = set(re.findall(r"\| `([a-z.]+)` \|", log))

    assert len(events) >= 4
    assert all(f'"{event}"' in source for event in events), events
    for said in (
        f"up to {limits.DRAIN_TIME // limits.SECOND} seconds",
        f"still for {limits.WATCHDOG_TIMEOUT // limits.SECOND} seconds",
        f"after {limits.COMMIT_RETRY_MAX // limits.SECOND} seconds at most",
        f"within {limits.COMMIT_RETRY_MAX // limits.SECOND} seconds",
        f"kept for {limits.LOG_RETENTION // limits.DAY} days",
        f"{limits.OPEN_TASKS_MAX:,} open tasks",
        f"{limits.WORKERS_MAX:,} workers",
        f"{limits.TASK_QUEUES_MAX:,} task queues",
        f"{limits.ACCOUNTS_MAX:,} accounts",
        f"{limits.STREAMS_MAX:,} streams",
    ):
        assert said in text, said


def test_readme_claims_no_more_of_taskrouter_than_migrating_gives() -> None:
    _, _, claim = TEXTS["README.md"].partition("\n- **Routing**: ")
    claim = " ".join(claim.partition("\n- **")[0].split())

    assert claim.startswith("TaskRouter's routing for messaging")
    assert "(what is not there: [docs/migrating.md](docs/migrating.md))" in claim
    assert len(TEXTS["docs/migrating.md"].partition("\n## Not there\n")[2]) > 100


def page_block(name: str, kind: str) -> str:
    """Return the one fenced block of a kind on a page."""
    found = re.findall(rf"^```{kind}\n(.*?)^```", TEXTS[name], re.DOTALL | re.MULTILINE)
    (block,) = found
    return str(block)


async def test_routing_walks_and_explains_as_its_page_says(serving: Serving) -> None:
    document = page_block("docs/routing.md", "json")
    made = await serving.client.workspace.ImportWorkspace(document=document)
    assert not made.warnings
    names = {"workspace_sid": made.workspace.sid}
    listed = await serving.client.workspace.ListTaskQueues(**names)
    queues = {queue.friendly_name: queue.sid for queue in listed.task_queues}
    create = serving.client.routing.CreateTask
    texts = re.findall(
        r"A task(?: no filter\s+takes, such as)? `(.*?)`", TEXTS["docs/routing.md"]
    )
    spanish, french = [
        (await create(**names, attributes=attributes)).task for attributes in texts
    ]
    assert [spanish.task_queue_sid, french.task_queue_sid] == [
        queues["spanish"],
        queues["everyone"],
    ]
    explain = serving.client.routing.ExplainTask
    told = (await explain(sid=spanish.sid)).explanation.text
    assert f"{told}\n" == page_block("docs/routing.md", "text")

    serving.clock.advance(60 * limits.SECOND)
    moved = (await serving.client.routing.GetTask(sid=spanish.sid)).task
    assert (moved.task_queue_sid, moved.priority) == (queues["everyone"], 5)


def test_expressions_are_what_the_page_on_routing_says() -> None:
    rows = re.findall(
        r"^\| `(.+?)` \| `(\{.*\})` \| (true|false) \|$",
        TEXTS["docs/routing.md"],
        re.MULTILINE,
    )
    assert len(rows) >= 10

    for text, attributes, outcome in rows:
        found = parse(text, Context.TASK).evaluate(json.loads(attributes))
        assert str(found).lower() == outcome, text


def test_the_page_on_routing_has_an_example_of_every_context() -> None:
    rows = re.findall(
        r"^\| (\w+) \|.*\| `([^`]+)` \|$", TEXTS["docs/routing.md"], re.MULTILINE
    )

    for name, text in rows:
        parse(text, Context(name))
    assert {name for name, _ in rows} == {each.value for each in Context}


def test_the_credentials_page_lists_what_a_token_opens() -> None:
    (table,) = re.findall(
        r"\| call \| of what \|\n\|---\|---\|\n((?:\|.*\n)+)",
        TEXTS["docs/credentials.md"],
    )
    listed = [re.findall(r"\w+", row.split("|")[1]) for row in table.splitlines()]
    policy = policy_of(SERVICES).items()
    opened = [
        path.rpartition("/")[2] for path, access in policy if access is Access.WORKER
    ]

    assert sorted(itertools.chain(*listed)) == sorted(opened)


def glossary() -> dict[str, str]:
    """Return the words of the glossary, each with its prefix or nothing."""
    entries = re.findall(
        r"^- \*\*([^*]+)\*\*(?: \((\w\w)\))?:", TEXTS["docs/glossary.md"], re.MULTILINE
    )
    return dict(entries)


def test_glossary_has_every_resource_with_its_prefix() -> None:
    words = {word.lower(): prefix for word, prefix in glossary().items() if prefix}

    assert words == {word: prefix for prefix, word in RESOURCES.items()}


def test_glossary_is_in_order() -> None:
    words = list(glossary())

    assert words == sorted(words, key=str.lower)
    assert len(words) > len(RESOURCES)


def test_state_machines_are_named_by_the_glossary() -> None:
    assert MACHINES.keys() <= {word.lower() for word in glossary()}


@pytest.mark.parametrize("name", PAGES)
def test_docs_speak_of_this_project_alone(name: str) -> None:
    assert re.findall(r"(?:/root/|/home/|/tmp/)\S*", TEXTS[name]) == []


def test_every_cause_of_routing_says_what_it_brings_about() -> None:
    for name, causes in CONSEQUENCES.items():
        table = MACHINES[name]
        assert {cause for moves in table.values() for cause in moves} == set(causes)


def table_below(heading: str) -> list[tuple[str, str]]:
    """Return the rows of the tables of a section of the page on migrating."""
    text = TEXTS["docs/migrating.md"].partition(f"\n## {heading}\n")[2]
    text = text.partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \| (.*) \|$", text, re.MULTILINE)
    return [row for row in rows if row[1] not in ("here", "dropped")]


def test_migrating_lists_what_an_import_drops() -> None:
    rows = {
        section.strip("`").partition("`")[0]: quoted(keys)
        for section, keys in table_below("Fields")
    }
    everywhere = rows.pop("every")

    for section, keys in DROPPED.items():
        common = everywhere - ({"workspace_sid"} if section == "workspace" else set())
        assert rows.pop(section, set()) | common == keys.keys(), section
    assert rows == {}


def test_migrating_names_rpcs_that_exist() -> None:
    methods = {method.name for service in SERVICES for method in service.methods}
    rows = table_below("Calls")
    named = {
        word
        for _, here in rows
        for word in re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", re.sub("`[^`]*`", "", here))
    }

    assert named - methods == set()
    assert len(named) > 50
    # Every call is answered: by an RPC or the client, or by a reason.
    silent = [
        row
        for row in rows
        if not row[1].startswith("not there")
        and not any(name in row[1] for name in (*methods, "StreamReservations"))
        and not row[1].startswith(("the same", "the client", "the snapshot"))
    ]
    assert silent == []


_RESOURCES = {
    "worker": workspace_pb2.Worker.DESCRIPTOR,
    "workspace": workspace_pb2.Workspace.DESCRIPTOR,
    "task": routing_pb2.Task.DESCRIPTOR,
    "reservation": routing_pb2.Reservation.DESCRIPTOR,
}


def test_migrating_tells_which_names_stand_in_answers_and_which_nowhere() -> None:
    text = TEXTS["docs/migrating.md"].partition("- **Names beside sids in events**")[2]
    shown, _, missing = text.partition("- **")[0].partition("An event")
    fields = {name for each in _RESOURCES.values() for name in each.fields_by_name}
    told = set(re.findall(r"`(\w+_name)`", shown))
    untold = set(re.findall(r"`(\w+)` of", missing.replace("\n", " ")))

    assert told == {
        "activity_name",
        "task_queue_friendly_name",
        "workflow_friendly_name",
    }
    assert told <= fields
    assert untold == {"reservation_timeout"}
    assert not untold & fields
