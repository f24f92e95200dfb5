"""`flexcore demo`: a contact center at work, in separate processes, in this terminal."""

from flexcore.cli import options


def demo(*, json_output: options.Json = False) -> None:
    """Run a contact center in this terminal.

    Starts a server, a customer and agents, kills the server in the middle of the work, and
    checks every promise.
    """
    from flexcore.demo.play import play

    play(json_output=json_output)
