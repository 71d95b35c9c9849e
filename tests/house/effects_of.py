"""Import a module, and print what it does beyond that, as JSON.

python tests/house/effects_of.py MODULE FIRST ...

The modules FIRST and after are imported before anything is watched: what
a framework does when it is imported is not the doing of a recipe.
"""

import json
import os
import sys
import threading
from importlib import import_module
from typing import Any

EFFECTS = (
    "os.exec",
    "os.fork",
    "os.mkdir",
    "os.posix_spawn",
    "os.remove",
    "os.rename",
    "os.system",
    "signal.pthread_kill",
    "socket.",
    "sqlite3.connect",
    "subprocess.Popen",
    "tempfile.",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main(module: str, *first: str) -> None:
    """Watch one import."""
    for name in first:
        import_module(name)
    found: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and (arguments[2] or 0) & WRITING
        if writes or event.startswith(EFFECTS):
            found.append(f"{event} {arguments[:1]!r}")

    threads = set(threading.enumerate())
    sys.addaudithook(watch)
    import_module(module)
    effects = [*found]
    started = [t.name for t in threading.enumerate() if t not in threads]
    print(json.dumps(effects + [f"thread {name}" for name in started]))


if __name__ == "__main__":
    main(*sys.argv[1:])
