"""`cookbook run`: the real server, in the foreground."""

import os
import socket
import subprocess
from collections.abc import Sequence

from cookbook.book import Book, Framework, Recipe
from cookbook.contract.processes import Launch
from cookbook.contract.servers import Subject, environment, with_scripts_of
from cookbook.environments import python_for
from cookbook.names import WrongUse
from cookbook.terminal import FAINT, PLAIN, STRONG, Line, Screen
from cookbook.verifying import split


def serve(
    book: Book,
    screen: Screen,
    recipe_name: str,
    framework_name: str,
    port: int,
    workers: int,
    settings: Sequence[str],
    *,
    dev: bool,
) -> int:
    """Prepare, then become the server; returns only where that fails."""
    recipe = book.recipe(recipe_name)
    framework = book.framework(framework_name)
    if recipe.implementation(framework.name) is None:
        raise WrongUse(f"{recipe.slug} is not written in {framework.title}.")
    check_port(port)
    python = python_for(framework, book.home)
    folder = book.home / "run" / f"{recipe.slug}-{framework.name}"
    folder.mkdir(parents=True, exist_ok=True)
    pairs = dict(split(text) for text in settings)
    subject = Subject(framework.name, settings=pairs)
    env = environment(book, recipe, subject, folder, {}, workers, None)
    env["PORT"] = str(port)
    command = line_of(recipe, framework, port, workers, dev=dev)
    launch = Launch(command, env, book.root, folder / "log")
    launch = with_scripts_of(python, launch)
    prepare = f"from {recipe.module(framework.name)} import prepare; prepare()"
    done = subprocess.run(
        [python, "-c", prepare], env=launch.env, cwd=book.root, check=False
    )
    if done.returncode == 0:
        screen.print(welcome(recipe, framework, port, command))
        os.chdir(book.root)
        os.execve(launch.argv[0], launch.argv, launch.env)
    return 1


def line_of(
    recipe: Recipe, framework: Framework, port: int, workers: int, *, dev: bool
) -> list[str]:
    """Write the server's command line."""
    server = framework.serve[recipe.server]
    if workers > 1 and not server.workers:
        server = framework.serve["managed"]
    module = recipe.module(framework.name)
    options = recipe.serve_options.get(framework.name, ())
    if dev and server.dev:
        return [
            word.replace("{module}", module)
            .replace("{host}", "127.0.0.1")
            .replace("{port}", str(port))
            for word in server.dev.split()
        ]
    return server.words(module, port=port, workers=workers, options=options)


def check_port(port: int) -> None:
    """Refuse a port that somebody else has."""
    if not 0 < port < 65536:
        raise WrongUse(f"{port} is no port: they go from 1 to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror
            raise WrongUse(f"Port {port} cannot be had: {reason}.") from None


def welcome(
    recipe: Recipe, framework: Framework, port: int, command: list[str]
) -> list[Line]:
    """Say what runs, and what to try."""
    url = f"http://127.0.0.1:{port}"
    lines: list[Line] = [
        [
            (f"{recipe.title} in {framework.title}", STRONG),
            (f"  {url}", PLAIN),
        ],
        [(" ".join(command), FAINT)],
        [],
    ]
    for example in recipe.examples:
        if example.method == "GET" and "{" not in example.path:
            lines.append([(f"  curl -i '{url}{example.path}'", PLAIN)])
    return [*lines, []]
