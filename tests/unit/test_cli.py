"""The command line without a server: options, failures, logs, and what help costs."""

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import typer
from aiohttp import web

from flexcore.cli import logs, options
from flexcore.cli.app import app
from flexcore.cli.events import require_reader
from flexcore.cli.failures import Fail, caret, reported
from flexcore.cli.output import print_table
from flexcore.cli.phone import converse
from flexcore.phone import Carrier
from flexcore.terminal import Terminal, as_typed

FLEXCORE = Path(sys.executable).with_name("flexcore")
HEAVY = ("grpc", "aiohttp", "rich", "google.protobuf", "apsw", "flexcore.v1")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with nothing set but what is given."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("FLEXCORE_")}
    return subprocess.run(
        [FLEXCORE, *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def commands(
    group: Any = None, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command with its path."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands())


@pytest.mark.parametrize("arguments", [[], ["task"], ["serve"], ["phone"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom flexcore.cli import main\n"
        f"sys.argv = ['flexcore', *{arguments}, '--help']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )

    report = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert report.stdout.startswith("Usage:")
    assert report.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_option_is_an_environment_variable_too(path: tuple[str, ...]) -> None:
    found = {
        option.opts[0]: option.envvar
        for option in COMMANDS[path].params
        if option.param_type_name == "option" and option.opts != ["--help"]
    }

    assert "--json" in found
    for option, variable in found.items():
        assert variable == "FLEXCORE_" + option[2:].upper().replace("-", "_"), option


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_says_what_it_does(path: tuple[str, ...]) -> None:
    text = COMMANDS[path].help

    assert text
    assert text.endswith(".")
    # As the list of commands shows it on 80 columns, which cuts what is longer.
    assert not COMMANDS[path].get_short_help_str(61).endswith("...")


def test_environment_variable_stands_for_its_option(tmp_path: Path) -> None:
    data = str(tmp_path / "nothing")

    assert f"{data} is no data folder" in run("check", FLEXCORE_DATA=data).stderr


def test_unknown_option_is_a_usage_error() -> None:
    assert run("serve", "--unheard-of").returncode == 2


@pytest.mark.parametrize("option", ["--grpc", "--http"])
def test_serving_other_machines_without_tls_has_to_be_said(
    option: str, tmp_path: Path
) -> None:
    report = run("serve", option, "0.0.0.0:7", "--data", str(tmp_path / "data"))

    assert report.returncode == 2
    assert "--insecure" in report.stderr
    assert not (tmp_path / "data").exists()


def test_insecure_allows_an_address_of_every_machine() -> None:
    config = options.config(
        Path("x"), "0.0.0.0:1", "[::]:2", insecure=True, dev=False, synchronous="FULL"
    )

    assert (str(config.grpc), str(config.http)) == ("0.0.0.0:1", "[::]:2")


@pytest.mark.parametrize(
    "given", ["nowhere", "localhost:x", "localhost:70000", "localhost:²"]
)
def test_address_that_is_none_is_a_usage_error(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="host:port"):
        options.config(
            Path("x"), given, "[::1]:2", insecure=False, dev=False, synchronous="FULL"
        )


def test_check_refuses_a_folder_without_data_and_makes_none(tmp_path: Path) -> None:
    report = run("check", "--data", str(tmp_path / "data"))

    assert report.returncode == 1
    assert report.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_no_server_is_unreachable() -> None:
    report = run("status", "--address", "127.0.0.1:1", "--key", "SK1.secret")

    assert report.returncode == 3
    assert report.stderr == (
        "no server answers at 127.0.0.1:1; start one with `flexcore serve`, or pass "
        "--address or --data\n"
    )


def test_no_key_is_refused_in_one_line(tmp_path: Path) -> None:
    report = run("status", "--data", str(tmp_path))

    assert report.returncode == 1
    assert report.stderr.count("\n") == 1
    assert "flexcore serve" in report.stderr
    assert "--key" in report.stderr


def test_log_level_that_is_none_names_its_option() -> None:
    report = run("serve", "--log-level", "loud")

    assert report.returncode == 2
    assert "--log-level: 'loud'" in report.stderr


# tables


TABLE = (["WK" + "0" * 32, "ann", '{"languages":["en","es","pt"]}'],)


def test_a_narrow_terminal_cuts_the_last_column_and_no_sid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")

    print_table(("sid", "friendly_name", "attributes"), TABLE)

    row = capsys.readouterr().out.splitlines()[1]
    assert row == f'{TABLE[0][0]}  ann            {{"languages":["en",…'


def test_a_table_that_is_piped_is_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "60")

    print_table(("sid", "n", "attributes"), TABLE, right={"n"})

    header, row = capsys.readouterr().out.splitlines()
    assert header == f"{'sid':<34}    n  attributes"
    assert row == "  ".join(TABLE[0])


# failures


@pytest.mark.parametrize(
    ("expression", "position", "shown"),
    [
        ("skills HAS", 8, "  skills HAS\n         ^"),
        ("a ==", 5, "  a ==\n      ^"),
        ("a == 1 AND\nb ??", 14, "  b ??\n    ^"),
        ("\ta ?", 4, "  \ta ?\n  \t  ^"),
        ("skills HAS\n", 12, "  \n  ^"),
        ('"a\u2028b" ==', 8, '  "a\u2028b" ==\n         ^'),
    ],
)
def test_caret_stands_under_the_place(
    expression: str, position: int, shown: str
) -> None:
    assert caret(expression, position) == shown


@pytest.mark.parametrize(
    ("json_output", "printed"),
    [(False, "no\n  x\n  ^\n"), (True, '{"error": "no", "reason": "WHY"}\n')],
)
def test_failure_is_one_text_or_one_object(
    json_output: bool, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fail = Fail("no", reason="WHY")
    fail.picture = caret("x", 1)

    with pytest.raises(typer.Exit) as ended, reported(json_output=json_output):
        raise fail

    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == printed


def test_interrupt_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, reported(json_output=False):
        raise KeyboardInterrupt

    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == ""


# logs


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What the server would log, and afterwards the logging of the tests again."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("info", stream)
    yield stream
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


def test_log_line_keeps_known_fields_and_masks_addresses(logged: io.StringIO) -> None:
    log = structlog.get_logger("flexcore.test")
    log.info(
        "call refused", code="NOT_FOUND", body="secret", text="+15550001111 is out"
    )

    line = json.loads(logged.getvalue())
    assert "body" not in line
    assert line["code"] == "NOT_FOUND"
    assert line["text"] == "+...11 is out"
    assert line["level"] == "info"
    assert re.match(r"\d{4}-\d\d-\d\dT", line["timestamp"])


def test_traceback_is_masked_too(logged: io.StringIO) -> None:
    error = ValueError("whatsapp:+4915112345678 and messenger:ann.smith")
    structlog.get_logger("flexcore.test").error("failed", exc_info=error)

    line = json.loads(logged.getvalue())
    assert "ValueError" in line["exception"]
    assert "+4915112345678" not in logged.getvalue()
    assert "ann.smith" not in logged.getvalue()


def test_lines_of_libraries_take_the_same_way(logged: io.StringIO) -> None:
    logging.getLogger("asyncio").error("lost +15550001111")

    assert json.loads(logged.getvalue())["event"] == "lost +...11"


def test_lines_below_the_level_are_left_out(logged: io.StringIO) -> None:
    structlog.get_logger("flexcore.test").debug("call")

    assert logged.getvalue() == ""


# a reader that goes away


def test_events_end_when_nobody_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        require_reader()
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            require_reader()


# what is typed


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (b"accept", "accept"),
        (b"acc\x1b[D\x1b[4~ept\x1bOA", "accept"),
        ("Zoë [1~".encode(), "Zoë [1~"),
        (b"\xff", "\ufffd"),
    ],
)
def test_keys_that_are_no_text_do_not_reach_the_customer(
    keys: bytes, text: str
) -> None:
    assert as_typed(keys) == text


# the phone


class Desk:
    """A business whose webhook takes what it is told to."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.status = 200

    async def receive(self, request: web.Request) -> web.Response:
        self.forms.append({k: str(v) for k, v in (await request.post()).items()})
        return web.Response(status=self.status)


async def test_phone_sends_lines_and_shows_what_comes_without_control_characters() -> (
    None
):
    desk = Desk()
    app_ = web.Application()
    app_.router.add_post("/in", desk.receive)
    runner = web.AppRunner(app_, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    carrier = Carrier("AC" + "1" * 32, "secret")
    await carrier.start()
    carrier.connect("+15550002222", f"http://127.0.0.1:{runner.addresses[0][1]}/in")
    phone = carrier.phone("+15550001111")

    async def lines() -> AsyncIterator[str]:
        yield "hello"
        yield "  "
        form = [("To", phone.number), ("From", "+15550002222")]
        carrier._take([*form, ("Body", "a\x1b[2Jb [red]c")], "")
        await carrier.settle()
        desk.status = 403
        yield "again"

    printed = io.StringIO()
    try:
        await converse(phone, "+15550002222", lines(), Terminal(file=printed))
    finally:
        await carrier.close()
        await runner.cleanup()

    assert [form["Body"] for form in desk.forms] == ["hello", "again"]
    assert "+15550002222: a [2Jb [red]c\n" in printed.getvalue()
    assert "not taken" in printed.getvalue()
    assert "\x1b" not in printed.getvalue()
