"""Work in threads that no exit waits for."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


def begin[**P](
    work: Callable[P, None], *args: P.args, **kwargs: P.kwargs
) -> Future[None]:
    """Begin work in a thread of its own.

    The threads of an executor are waited for at exit: with one that hangs
    the process would not end.
    """
    future: Future[None] = Future()

    def run() -> None:
        try:
            work(*args, **kwargs)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    Thread(target=run, daemon=True).start()
    return future
