"""The command line: the server, and thin clients of its API.

What a command needs (gRPC, aiohttp, rich) is imported when it runs, so that `--help` and
shell completion answer at once.
"""

from flexcore.cli.app import main

__all__ = ["main"]
