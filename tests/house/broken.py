"""Write down which rules a run of the contracts found broken in a stack.

python -m tests.house.broken flask

As Markdown, for an issue: the framework, its versions, the recipes, the
rules, and what their tests said.
"""

import sys
from collections.abc import Iterator

from cookbook.book import Book
from cookbook.results import Result, load


def report(book: Book, name: str) -> Iterator[str]:
    """Write the lines of the report."""
    framework = book.framework(name)
    own = [r for r in load(book).values() if r.framework == name]
    broken = [result for result in own if result.verdict == "broken"]
    yield f"# {framework.title}"
    yield ""
    if not broken:
        yield "No rule was found broken: the run ended for another reason."
        return
    newest = max(broken, key=lambda result: result.date)
    versions = [f"{name} {v}" for name, v in newest.versions.items()]
    yield f"With {', '.join(versions)}:"
    yield ""
    for result in sorted(broken, key=lambda r: (r.recipe, r.rule)):
        yield from lines_of(result)


def lines_of(result: Result) -> Iterator[str]:
    """Write what is broken in a rule."""
    yield f"- `{result.recipe}`, rule `{result.rule}`"
    for test, verdict in result.tests.items():
        if verdict == "failed":
            yield f"  - `{test}`"


def main() -> int:
    """Print the report."""
    for line in report(Book.load(), sys.argv[1]):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
