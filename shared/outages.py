"""An outage of a store: who still asks it, and what is logged."""

from time import monotonic


class Outage:
    """What a process knows of a store that does not answer.

    While it lasts, one request in each `pause` (in seconds) asks, and all
    others go on without.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._lasts = False
        self._next = 0.0

    def lets_ask(self) -> bool:
        """Tell whether this request is to ask the store."""
        if not self._lasts:
            return True
        # rule: store-down
        if monotonic() < self._next:
            return False
        self._next = monotonic() + self._pause
        return True

    def begin(self, error: Exception) -> str | None:
        """Note a failure; give a line for the log where it is news."""
        self._next = monotonic() + self._pause
        # rule: store-down
        if self._lasts:
            return None
        self._lasts = True
        return f"The store of the limits fails: {type(error).__name__}"

    def end(self) -> str | None:
        """Note an answer; give a line for the log where it is news."""
        if not self._lasts:
            return None
        self._lasts = False
        return "The store of the limits is back"
