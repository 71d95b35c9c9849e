"""A line on the terminal that says how far a long work is."""

import shutil
import sys
from typing import Self


class Progress:
    """Shows one line on the standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Put a text in place of the last one."""
        if self._shown:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{text[:width]}")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the line empty, whatever happened."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
