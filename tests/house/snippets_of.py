"""Run the snippets of one framework, and print what goes wrong, as JSON.

python tests/house/snippets_of.py FRAMEWORK FIRST ... < SNIPPETS

The snippets come as an object, by concept. Each is run as a module of its
own, every warning being an error; its handlers are visited, and its tests
are run. The modules FIRST and after are imported before.
"""

import asyncio
import json
import logging
import sys
import tempfile
import warnings
from contextlib import chdir, redirect_stdout
from importlib import import_module
from inspect import iscoroutinefunction
from ipaddress import ip_address
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.house.visiting import VISIT, functions

UNVISITED = {
    "http-client": "its handlers call another host",
    "unhandled-error": "its handlers answer with 500",
}


def main(framework: str, *first: str) -> None:
    """Run all the snippets of a framework, in a folder made for it."""
    snippets: dict[str, str] = json.load(sys.stdin)
    logging.disable()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        set_stage(framework)
        for name in first:
            import_module(name)
        sys.addaudithook(stay_here)
        with redirect_stdout(sys.stderr):
            found = {
                concept: problem
                for concept, source in snippets.items()
                if (problem := problem_of(framework, concept, source))
            }
    print(json.dumps(found))


def set_stage(framework: str) -> None:
    """Make what snippets take for granted: files, and Django's settings."""
    Path("assets").mkdir()
    Path("report.pdf").write_text("a report")
    Path("templates").mkdir()
    Path("templates", "hello.html").write_text("Hello, {{ name }}")
    shop = ModuleType("shop")
    shop.__path__ = [str(Path.cwd())]
    vars(shop)["urlpatterns"] = []
    sys.modules["shop"] = shop
    if framework == "django":
        configure_django(shop)


def configure_django(shop: ModuleType) -> None:
    """Configure Django once, with an app that models belong to."""
    import django
    from django.apps import AppConfig
    from django.conf import settings
    from django.core.management import call_command

    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    engine = "django.template.backends.django.DjangoTemplates"
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": database},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            AppConfig("shop", shop),
        ],
        ROOT_URLCONF="shop",
        SECRET_KEY="a secret of the snippets",
        TEMPLATES=[{"BACKEND": engine, "DIRS": ["templates"]}],
    )
    django.setup()
    call_command("migrate", verbosity=0)


def stay_here(event: str, arguments: tuple[Any, ...]) -> None:
    """Let no snippet speak to another machine."""
    if event != "socket.connect" or not isinstance(arguments[1], tuple):
        return
    if not ip_address(arguments[1][0]).is_loopback:
        raise PermissionError(f"a connection to {arguments[1]}")


def problem_of(framework: str, concept: str, source: str) -> str | None:
    """Run a snippet; say what went wrong, if anything did."""
    module = ModuleType(f"shop.{concept.replace('-', '_')}")
    sys.modules[module.__name__] = module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(source, concept, "exec"), module.__dict__)
            has_tests = run_tests(framework, module)
        if not has_tests and concept not in UNVISITED:
            VISIT[framework](module)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def run_tests(framework: str, module: ModuleType) -> bool:
    """Run the tests that a snippet shows; tell whether there are any."""
    tests = [one for one in functions(module) if is_test(one)]
    if framework == "django":
        return run_django_tests(module, tests)
    for test in tests:
        asyncio.run(test()) if iscoroutinefunction(test) else test()
    return bool(tests)


def is_test(function: Any) -> bool:
    """Tell a test by its name."""
    return getattr(function, "__name__", "").startswith("test_")


def run_django_tests(module: ModuleType, tests: list[Any]) -> bool:
    """Run functions and classes of tests, with the snippet's own URLs."""
    from unittest import TestLoader, TestResult

    from django.test import override_settings

    result = TestResult()
    with override_settings(ROOT_URLCONF=module.__name__):
        for test in tests:
            test()
        TestLoader().loadTestsFromModule(module).run(result)
    for _, text in result.failures + result.errors:
        raise AssertionError(text)
    return bool(tests) or result.testsRun > 0


if __name__ == "__main__":
    main(*sys.argv[1:])
