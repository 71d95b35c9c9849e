"""Print what a framework says that an application serves, as JSON.

python tests/house/routes_of.py flask recipes.SHELF.RECIPE.flask_app

Each method and path, parameters without their names. What a framework
adds by itself is left out: HEAD, OPTIONS, static files, descriptions.
"""

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

type Served = Iterator[tuple[str, Iterable[str]]]

ADDED = {"HEAD", "OPTIONS"}
METHODS = ("get", "post", "put", "patch", "delete")
PARAMETER = re.compile(r"<[^<>]*>|\{[^{}]*\}")


def flask(app: Any) -> Served:
    """Read the URL map."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.rpartition(".")[2] != "static":
            yield rule.rule, rule.methods


def django(app: Any) -> Served:
    """Walk the URL patterns, includes too."""
    from django.urls import get_resolver

    def walk(patterns: Any, before: str) -> Served:
        for each in patterns:
            path = f"{before}{each.pattern}"
            if hasattr(each, "url_patterns"):
                yield from walk(each.url_patterns, path)
            else:
                yield path, methods_of(each.callback)

    yield from walk(get_resolver().url_patterns, "/")


def methods_of(view: Callable[..., Any]) -> list[str]:
    """Tell what a view takes: its class says so, or its decorator."""
    cls = getattr(view, "view_class", None)
    if cls is not None:
        names = cls.http_method_names
        return [name.upper() for name in names if hasattr(cls, name)]
    closed_over = inspect.getclosurevars(view).nonlocals
    return list(closed_over.get("request_method_list", ["ANY"]))


def fastapi(app: Any) -> Served:
    """Walk the routes, those of included routers too."""
    from fastapi.routing import APIRoute, iter_route_contexts

    # Middleware around the application has it as its `app`.
    inner = getattr(app, "app", app)
    for route in iter_route_contexts(inner.routes):
        if isinstance(route.original_route, APIRoute):
            yield str(route.path), route.methods or ()


def litestar(app: Any) -> Served:
    """Read the routes; description and files have no handler of ours."""
    for route in app.routes:
        handlers = getattr(route, "route_handlers", ())
        if any(handler.name == "static" for handler in handlers):
            continue
        if not route.path.startswith("/schema"):
            yield route.path_format, getattr(route, "methods", ["WEBSOCKET"])


def aiohttp(app: Any) -> Served:
    """Read the router; a pattern in a parameter is not its name."""
    from aiohttp.web import StaticResource

    for route in app.router.routes():
        if isinstance(route.resource, StaticResource):
            continue
        methods = [route.method]
        if inspect.isclass(route.handler):
            methods = [one for one in METHODS if hasattr(route.handler, one)]
        yield route.resource.canonical, map(str.upper, methods)


READERS = {
    "flask": flask,
    "django": django,
    "fastapi": fastapi,
    "litestar": litestar,
    "aiohttp": aiohttp,
}


def main(framework: str, module: str) -> None:
    """Import the module, make the application and ask it."""
    app = import_module(module).create_app()
    found = {
        f"{method} {PARAMETER.sub('{}', path)}"
        for path, methods in READERS[framework](app)
        for method in {*methods} - ADDED
    }
    print(json.dumps(sorted(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
