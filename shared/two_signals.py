"""Signals to gunicorn's master: the first drains, the second ends.

gunicorn takes SIGINT for "at once", and a second SIGTERM for nothing. It is
for the master alone to count: Ctrl-C and a process manager that signals the
whole group reach each worker too, which then is signalled twice.
"""

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any


def count_signals(master: Any) -> None:
    """Take over both signals; a hook for gunicorn's `when_ready`."""
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        # A worker that has not begun has nothing to finish.
        if os.getpid() != master.pid:
            os._exit(0)
        seen.append(number)
        # rule: second-signal
        if len(seen) > 1:
            end_workers(master)
        # rule: either-signal
        master.signal(signal.SIGTERM, frame)

    # rule: either-signal
    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def end_workers(master: Any) -> None:
    """Kill the workers; the master waits for nothing else, and exits."""
    for pid in list(master.WORKERS):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
