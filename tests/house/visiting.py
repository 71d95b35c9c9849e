"""Send requests to all that a snippet serves; none may fail.

A refusal is an answer too: only what is raised, and a status of 500 and
more, is a failure.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from functools import partial
from inspect import iscoroutinefunction, signature
from types import ModuleType
from typing import Any

HOST = "shop.example.org"
HEADERS = {
    "Accept-Language": "de",
    "Authorization": "Bearer secret-token",
    "Host": HOST,
    "X-Forwarded-For": "203.0.113.7",
    "X-Key": "a key",
    "X-Role": "editor",
    "X-Scopes": "w",
    "X-Tenant": "ann",
}
PART = "Content-Disposition: form-data; name=photo; filename=a.png"
BODIES = {
    "application/json": '{"title": "A", "name": "b", "password": "c"}',
    "application/x-www-form-urlencoded": "name=ann&password=horse",
    "multipart/form-data; boundary=b": f"--b\r\n{PART}\r\n\r\n1\r\n--b--\r\n",
}
READING = ("GET", "HEAD", "OPTIONS")
QUERY = "?isbn=9780140449136&limit=5&offset=0&tag=a"
PLAIN = "/visited"
"""A route that is added, so that hooks and layers have one."""


def visits(
    path: str, method: str
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """List the ways to ask for a path."""
    path = re.sub(r"[<{][^/]*isbn[^/]*[>}]", "9780140449136", path)
    path = re.sub(r"[<{][^/]*[>}]", "1", path) + QUERY
    if method in READING:
        yield path, "", HEADERS
        return
    for kind, body in BODIES.items():
        yield path, body, {**HEADERS, "Content-Type": kind}


def judge(method: str, path: str, status: int, text: str) -> None:
    """Raise `AssertionError` where a handler failed."""
    if status >= 500:
        raise AssertionError(f"{method} {path} is {status}: {text[:300]}")


def functions(module: ModuleType) -> list[Any]:
    """List the functions that a snippet defines, decorated or not."""
    return [
        value
        for value in list(vars(module).values())
        if getattr(value, "__module__", "") == module.__name__
        and callable(value)
        and not isinstance(value, type)
    ]


def visit_flask(module: ModuleType) -> None:
    """Visit each route of an application."""
    from flask import Flask

    app = vars(module).get("app")
    if not isinstance(app, Flask):
        return
    app.testing = True
    app.add_url_rule(PLAIN, "visited", lambda: "visited")
    for rule in list(app.url_map.iter_rules()):
        for method in sorted(rule.methods or ()):
            for path, body, headers in visits(rule.rule, method):
                answer = app.test_client().open(
                    path, method=method, data=body, headers=headers
                )
                judge(method, path, answer.status_code, answer.text)


def visit_fastapi(module: ModuleType) -> None:
    """Visit each operation of an application, or of a router."""
    from fastapi import APIRouter, FastAPI
    from fastapi.testclient import TestClient

    app = vars(module).get("app")
    if not isinstance(app, FastAPI):
        app = FastAPI()
        for router in vars(module).values():
            if isinstance(router, APIRouter):
                app.include_router(router)
    app.add_api_route(PLAIN, lambda: "visited")
    with TestClient(app, f"http://{HOST}") as client:
        visit_operations(client, app.openapi()["paths"] | {PLAIN: ["get"]})


def visit_litestar(module: ModuleType) -> None:
    """Visit each operation of an application."""
    from litestar import Litestar, get
    from litestar.testing import TestClient

    app = vars(module).get("app")
    if not isinstance(app, Litestar):
        return
    app.debug = True
    app.register(get(PLAIN, sync_to_thread=False)(visited))
    with TestClient(app, f"http://{HOST}") as client:
        visit_operations(client, app.openapi_schema.to_schema()["paths"])


def visited() -> str:
    """Answer, as a handler with a return type."""
    return "visited"


def visit_operations(client: Any, paths: Mapping[str, Any]) -> None:
    """Visit what an OpenAPI document lists."""
    for place, operations in paths.items():
        for method in map(str.upper, operations):
            for path, body, headers in visits(place, method):
                answer = client.request(
                    method, path, content=body, headers=headers
                )
                judge(method, path, answer.status_code, answer.text)


def visit_aiohttp(module: ModuleType) -> None:
    """Visit each handler, within the middleware of the snippet."""
    from aiohttp import web

    async def plain(request: web.Request) -> web.Response:
        return web.Response()

    app = vars(module).get("app", web.Application())
    app.router.add_get(PLAIN, plain)
    routed = {route.handler for route in app.router.routes()}
    for function in functions(module):
        if hasattr(function, "__middleware_version__"):
            if function not in app.middlewares:
                app.middlewares.append(function)
        elif is_handler(function) and function not in routed:
            place = f"/{function.__name__}"
            app.router.add_get(place, function, allow_head=False)
            app.router.add_post(place, function)
    asyncio.run(visit_routes(app))


def is_handler(function: Any) -> bool:
    """Tell a handler of aiohttp by its only parameter."""
    is_coroutine = iscoroutinefunction(function)
    return is_coroutine and [*signature(function).parameters] == ["request"]


async def visit_routes(app: Any) -> None:
    """Serve an application of aiohttp, and visit its routes."""
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    raised: list[Exception] = []

    @web.middleware
    async def watch(request: Any, handler: Any) -> Any:
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:
            raised.append(error)
            raise

    app.middlewares.insert(0, watch)
    async with TestClient(TestServer(app)) as client:
        for route in list(app.router.routes()):
            method = route.method.replace("*", "POST")
            place = route.resource.canonical
            for path, body, headers in visits(place, method):
                answer = await client.request(
                    method, path, data=body, headers=headers
                )
                text = f"{raised} {await answer.text()}"
                judge(method, path, answer.status, text)


def visit_django(module: ModuleType) -> None:
    """Call each view with requests, within the snippet's middleware."""
    from django.test import override_settings

    layers, views = [], []
    for function in functions(module):
        parameters = [*signature(function).parameters]
        if parameters == ["get_response"]:
            layers.append(function)
        elif parameters[:1] == ["request"]:
            views.append((function, [1] * (len(parameters) - 1)))
    urls = module if hasattr(module, "urlpatterns") else "shop"
    with override_settings(ROOT_URLCONF=urls):
        for view, values in views or [(plain_view, [])]:
            call_django(partial(call_view, view, values), layers)


def plain_view(request: Any) -> Any:
    """Answer, so that a middleware alone has something to go around."""
    from django.http import HttpResponse

    return HttpResponse()


def call_view(view: Any, values: list[Any], request: Any) -> Any:
    """Call a view, of either colour; a refusal becomes an answer."""
    from django.core.exceptions import BadRequest, PermissionDenied
    from django.http import Http404, HttpResponse

    try:
        answer = view(request, *values)
        return asyncio.run(answer) if iscoroutinefunction(view) else answer
    except (BadRequest, Http404, PermissionDenied):
        return HttpResponse(status=400)


def call_django(view: Any, layers: list[Any]) -> None:
    """Call a view in each way that there is to ask."""
    from django.contrib.auth.models import AnonymousUser
    from django.contrib.sessions.backends.db import SessionStore
    from django.http.response import HttpResponseBase
    from django.test import RequestFactory

    for layer in layers:
        view = layer(view)
    for method in ("GET", "POST"):
        for path, body, headers in visits("/", method):
            kind = headers.get("Content-Type", "")
            request: Any = RequestFactory().generic(
                method, path, body, kind, headers=headers
            )
            request.session, request.user = SessionStore(), AnonymousUser()
            answer = view(request)
            if isinstance(answer, HttpResponseBase):
                judge(method, path, answer.status_code, repr(answer))


VISIT = {
    "flask": visit_flask,
    "django": visit_django,
    "fastapi": visit_fastapi,
    "litestar": visit_litestar,
    "aiohttp": visit_aiohttp,
}
