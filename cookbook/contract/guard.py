"""Ends what a harness has started, should the harness itself be killed.

Run as a script. Each line of its standard input is a word and what it is
about: `kill` a process group, `remove` a folder, or `spare` either of
them after all. When the input ends, what was not spared is done.
"""

import contextlib
import os
import shutil
import signal
import sys


def main() -> None:
    """Take notes until the other side is gone, then act on them."""
    notes: dict[str, str] = {}
    for line in sys.stdin:
        word, _, about = line.rstrip("\n").partition(" ")
        if word == "spare":
            notes.pop(about, None)
        else:
            notes[about] = word
    for about, word in notes.items():
        if word == "kill":
            kill(int(about))
    for about, word in notes.items():
        if word == "remove":
            shutil.rmtree(about, ignore_errors=True)


def kill(group: int) -> None:
    """Kill a process and all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
