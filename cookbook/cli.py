"""The command `cookbook`: it only wires; each command imports what it runs.

A command returns its exit code: 0 as asked, 1 nothing found or a negative
answer, 2 wrong use or a name that the book does not have.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cookbook.names import UnknownName, WrongUse
from cookbook.tables import BookError

if TYPE_CHECKING:
    from cookbook.book import Book
    from cookbook.terminal import Screen


MOST_JOBS = 4


class Commands(click.Group):
    """Commands that know the nearest right name of a wrong one."""

    def get_command(
        self, ctx: click.Context, cmd_name: str
    ) -> click.Command | None:
        """Find a command."""
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing:
            raise UnknownName("command", cmd_name, self.commands)
        return found


def main() -> None:
    """Run the tool as a program."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on; what is still buffered must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command; say in a sentence what was wrong with it."""
    try:
        code: int = app.main(arguments, "cookbook", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except UnknownName as error:
        print(error, file=sys.stderr)
        return 1 if error.is_planned else 2
    except WrongUse as error:
        print(error, file=sys.stderr)
        return 2
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    return code


def opened() -> "tuple[Book, Screen]":
    """Open the book, and look where the answer goes."""
    from cookbook.book import Book
    from cookbook.terminal import Screen

    return Book.load(), Screen.here()


as_json = click.option(
    "--json", "as_json", is_flag=True, help="Answer as JSON, for scripts."
)
only_rule = click.option(
    "--rule", metavar="ID", help="Only the lines that keep this rule."
)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="backend-cookbook", prog_name="cookbook")
@click.pass_context
def app(context: click.Context) -> int:
    """Every backend recipe side by side in five frameworks.

    Without a command: what is there, and how to go on.
    """
    if context.invoked_subcommand is not None:
        return 0
    from cookbook.overview import show_overview

    return show_overview(*opened())


@app.command("list")
@click.argument("shelf", required=False)
@as_json
def list_recipes(shelf: str | None, as_json: bool) -> int:
    """List every recipe: what is written, and what is missing.

    SHELF is the name or the chapter of one, without it all are listed.
    """
    from cookbook.overview import show_list

    return show_list(*opened(), shelf, as_json=as_json)


@app.command()
@click.argument("recipe")
@click.option(
    "--in", "framework", metavar="FRAMEWORK", help="Its source in this."
)
@only_rule
@as_json
def show(
    recipe: str, framework: str | None, rule: str | None, as_json: bool
) -> int:
    """Show a recipe, its source in a framework, or what keeps a rule."""
    from cookbook import lookup

    book, screen = opened()
    if rule is not None:
        return lookup.show_rule(
            book, screen, recipe, rule, framework, as_json=as_json
        )
    if framework is not None:
        return lookup.show_implementation(
            book, screen, recipe, framework, as_json=as_json
        )
    return lookup.show_recipe(book, screen, recipe, as_json=as_json)


@app.command()
@click.argument("recipe")
@click.argument("frameworks", nargs=-1)
@only_rule
@click.option(
    "--diff", is_flag=True, help="The whole files of two, as a diff."
)
@as_json
def compare(
    recipe: str,
    frameworks: tuple[str, ...],
    rule: str | None,
    diff: bool,
    as_json: bool,
) -> int:
    """Compare frameworks rule by rule, or two of them as a diff.

    FRAMEWORKS are two or more; without any, all are compared.
    """
    book, screen = opened()
    if diff:
        from cookbook.differing import show_diff

        return show_diff(book, screen, recipe, frameworks, as_json=as_json)
    from cookbook.comparing import show_comparison

    return show_comparison(
        book, screen, recipe, frameworks, rule, as_json=as_json
    )


@app.command()
@click.argument("words", nargs=-1, required=True)
@as_json
def search(words: tuple[str, ...], as_json: bool) -> int:
    """Search titles, rules, symptoms, topics and frameworks' words."""
    from cookbook.searching import show_hits

    return show_hits(*opened(), " ".join(words), as_json=as_json)


@app.command("equivalents")
@click.argument("words", nargs=-1)
@click.option(
    "--in",
    "frameworks",
    metavar="FRAMEWORKS",
    multiple=True,
    help="Only in these, with commas between.",
)
@as_json
def show_equivalents(
    words: tuple[str, ...], frameworks: tuple[str, ...], as_json: bool
) -> int:
    """Tell what a word of one framework is called in the others.

    WORDS are a name, such as before_request, or what it does; without
    any, every concept is listed.
    """
    from cookbook.translating import show_equivalents

    word = " ".join(words) or None
    return show_equivalents(*opened(), word, frameworks, as_json=as_json)


some_frameworks = click.option(
    "--in",
    "frameworks",
    metavar="FRAMEWORK",
    multiple=True,
    help="Only in this one (may be repeated).",
)
jobs = click.option(
    "--jobs",
    type=click.IntRange(1),
    default=lambda: min(os.cpu_count() or 1, MOST_JOBS),
    metavar="N",
    help="How many at a time (default: one a processor, at most 4).",
)
settings = click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="A setting of the service (may be repeated).",
)


@app.command("run")
@click.argument("recipe")
@click.option("--in", "framework", metavar="FRAMEWORK", required=True)
@click.option("--port", default=8000, show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.option("--dev", is_flag=True, help="With reload and debugger.")
@settings
def run_recipe(
    recipe: str,
    framework: str,
    port: int,
    workers: int,
    dev: bool,
    settings: tuple[str, ...],
) -> int:
    """Serve a recipe under the framework's production server."""
    from cookbook.running import serve

    book, screen = opened()
    return serve(
        book, screen, recipe, framework, port, workers, settings, dev=dev
    )


@app.command()
@click.argument("recipe")
@some_frameworks
@click.option("--url", help="A service that runs already.")
@click.option("--command", help="What starts a service; {port} is its port.")
@click.option(
    "--rule",
    "rules",
    metavar="ID",
    multiple=True,
    help="Only this rule (may be repeated).",
)
@settings
@as_json
def verify(
    recipe: str,
    frameworks: tuple[str, ...],
    url: str | None,
    command: str | None,
    rules: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Hold a service to a recipe's contract, and report by rule.

    Without --url or --command: the book's own services.
    """
    from cookbook import verifying

    book, screen = opened()
    given = verifying.subjects(
        book, recipe, frameworks, url, command, settings
    )
    return verifying.verify(
        book, screen, recipe, given, rules, as_json=as_json
    )


@app.command()
@click.argument("recipe", required=False)
@some_frameworks
@click.option(
    "--changed", is_flag=True, help="Only what changed since the last run."
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    help="Of what was never tried one in N, others each day.",
)
@click.option(
    "--scope",
    type=click.Choice(["first", "rule", "whole"]),
    default="first",
    help="Until a test notices, under every test of the rule, or under all.",
)
@jobs
@as_json
def pitfalls(
    recipe: str | None,
    frameworks: tuple[str, ...],
    changed: bool,
    sample: int,
    scope: str,
    jobs: int,
    as_json: bool,
) -> int:
    """Try the wrong ways: does the contract notice each of them?"""
    from cookbook.trying import chosen, try_wrong_ways

    book, screen = opened()
    listed = chosen(
        book, recipe, frameworks, scope, changed=changed, sample=sample
    )
    return try_wrong_ways(
        book,
        screen,
        listed,
        changed=changed,
        scope=scope,
        jobs=jobs,
        as_json=as_json,
    )


@app.command()
@click.argument("recipe", required=False)
@some_frameworks
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="How many are drawn.",
)
@click.option("--seed", default=0, show_default=True, help="The same draw.")
@jobs
@as_json
def mutants(
    recipe: str | None,
    frameworks: tuple[str, ...],
    sample: int,
    seed: int,
    jobs: int,
    as_json: bool,
) -> int:
    """Try changes drawn by lot: does the contract notice them?"""
    from cookbook.mutants import drawn, try_mutants

    book, screen = opened()
    recipes = [book.recipe(recipe)] if recipe else book.recipes.values()
    names = [book.framework(one).name for one in frameworks]
    found = drawn(book, recipes, names or book.frameworks, sample, seed)
    return try_mutants(book, screen, found, jobs=jobs, as_json=as_json)


@app.command()
@click.argument("recipe", required=False)
@as_json
def kills(recipe: str | None, as_json: bool) -> int:
    """Show which test notices which wrong way, and which notice none.

    What was found by `cookbook pitfalls --scope rule`.
    """
    from cookbook.kills import show_kills

    return show_kills(*opened(), recipe, as_json=as_json)


@app.command()
@as_json
def matrix(as_json: bool) -> int:
    """Show every recipe in every framework: what was proven, and when."""
    from cookbook.matrix import show_matrix

    return show_matrix(*opened(), as_json=as_json)


@app.command()
@click.argument("recipe", required=False)
@as_json
def check(recipe: str | None, as_json: bool) -> int:
    """Say what a recipe still lacks, in plain words."""
    from cookbook.checking import show_check

    return show_check(*opened(), recipe, as_json=as_json)


@app.command("generate")
@click.argument("recipe", required=False)
@click.option(
    "--check", is_flag=True, help="Change nothing; say what is out of date."
)
def generate_sections(recipe: str | None, check: bool) -> int:
    """Write the sections of the READMEs that the files tell already.

    RECIPE is one; without it all are written, and the book's own.
    """
    from cookbook.generating import generate

    return generate(*opened(), recipe, check=check)


@app.command("site")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    help="Where to write it.",
)
@click.option(
    "--url", default="", help="Where it will be, for canonical links."
)
@click.option(
    "--base", default="/", show_default=True, help="Its path, for 404.html."
)
def write_site(out: Path, url: str, base: str) -> int:
    """Write the explorer as static files, for any host."""
    from cookbook.site.building import write_site

    return write_site(*opened(), out, url, base)


@app.command()
@click.option("--port", default=8765, show_default=True)
@click.option("--no-open", is_flag=True, help="Open no browser.")
def serve(port: int, no_open: bool) -> int:
    """Open the explorer in a browser, renewed on every edit."""
    from cookbook.site.serving import serve

    return serve(*opened(), port, opens=not no_open)
