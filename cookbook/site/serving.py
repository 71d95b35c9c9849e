"""`cookbook serve`: the explorer on this machine, renewed on every edit."""

import signal
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter

from cookbook.book import Book
from cookbook.names import WrongUse
from cookbook.site.building import Builder, index
from cookbook.site.handler import Explorer, listening
from cookbook.site.rendering import HERE
from cookbook.tables import BookError
from cookbook.terminal import ACCENT, FAINT, PLAIN, Screen

LOOK_EVERY = 0.25
"""How often the files are looked at, in seconds."""

WATCHED = ("recipes", "frameworks", "shared", "tests/contracts")


def serve(book: Book, screen: Screen, port: int, *, opens: bool) -> int:
    """Build the site, and serve it until Ctrl-C or SIGTERM."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    with TemporaryDirectory(prefix="cookbook-site-") as folder:
        builder = Builder(Path(folder), serves=True)
        builder.build(book)
        with listening(builder, port) as server:
            url = f"http://127.0.0.1:{server.server_port}/"
            screen.print([[("The explorer is at ", PLAIN), (url, ACCENT)]])
            sys.stdout.flush()
            if opens:
                webbrowser.open(url)
            with watched(book, screen, builder):
                wait(server)
    return 0


def wait(server: Explorer) -> None:
    """Serve until somebody ends it."""
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        return


@contextmanager
def watched(book: Book, screen: Screen, builder: Builder) -> Iterator[None]:
    """Build again whenever a file of the book changes."""
    ended = Event()
    looking = Thread(
        target=watch, args=(book, screen, builder, ended), daemon=True
    )
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def watch(book: Book, screen: Screen, builder: Builder, ended: Event) -> None:
    """Look at the files until it is `ended`."""
    before = seen(book)
    while not ended.wait(LOOK_EVERY):
        now = seen(book)
        if now != before:
            before = now
            renew(book, screen, builder)


def renew(book: Book, screen: Screen, builder: Builder) -> None:
    """Build again, or say why not: what was there stays.

    The pages are there first, the index for search follows.
    """
    begun = perf_counter()
    try:
        builder.write(Book(book.root))
        took = f"Built again in {perf_counter() - begun:.2f} s"
        screen.print([[(took, FAINT)]])
        sys.stdout.flush()
        index(builder.out)
    except (BookError, WrongUse, SyntaxError) as error:
        screen.print([[(str(error), PLAIN)]])
        sys.stdout.flush()


def seen(book: Book) -> dict[Path, int]:
    """Note when each file was changed."""
    folders = [book.root / name for name in WATCHED]
    files = [f for folder in folders for f in folder.rglob("*.*")]
    files += HERE.rglob("*.*")
    files += book.home.glob("*.jsonl")
    found = {}
    for file in files:
        if file.suffix in (".pyc", ".db"):
            continue
        try:
            found[file] = file.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found
