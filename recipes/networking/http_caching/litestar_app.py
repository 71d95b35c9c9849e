"""HTTP caching in Litestar: what holds for a handler is said at it.

Idiom: `cache_control` and `response_headers` are arguments of a handler.
"""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from advanced_alchemy.extensions.litestar import (
    AsyncSessionConfig,
    SQLAlchemyAsyncConfig,
    SQLAlchemyInitPlugin,
)
from litestar import HttpMethod, Litestar, Request, Response, put, route
from litestar.connection import ASGIConnection
from litestar.datastructures import CacheControlHeader, MutableScopeHeaders
from litestar.datastructures import ResponseHeader as Say
from litestar.di import Provide
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.params import Dependency
from litestar.static_files import create_static_files_router
from litestar.types import Message, Scope
from msgspec import Meta, Struct, to_builtins
from sqlalchemy import ColumnElement, create_engine, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from frameworks.litestar.problems import ProblemPlugin
from shared import fingerprints, wiki, wiki_pages
from shared.conditions import http_date, judge
from shared.database import async_url, sync_url
from shared.preconditions import is_match
from shared.signed_users import read_user
from shared.wiki_pages import Base, Page

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///wiki.db")
SEED = int(os.environ.get("SEED", "0"))
TOKEN_SECRET = os.environ["TOKEN_SECRET"]
ASSETS_FOLDER = os.environ.get(
    "ASSETS_FOLDER", str(Path(__file__).with_name("assets"))
)
PUBLISHED_FOLDER = os.environ.get("PUBLISHED_FOLDER", "published")
PAGE_SECONDS = int(os.environ.get("PAGE_SECONDS", "60"))
MAIN_SECONDS = int(os.environ.get("MAIN_SECONDS", "10"))
MAIN_STALE_SECONDS = int(os.environ.get("MAIN_STALE_SECONDS", "60"))
MISSING_SECONDS = int(os.environ.get("MISSING_SECONDS", "5"))

SAFE = [HttpMethod.GET, HttpMethod.HEAD]

AnyRequest = Request[Any, Any, Any]
AsFound = Annotated[ColumnElement[bool], Dependency(skip_validation=True)]
Title = Annotated[
    str, Meta(max_length=wiki.TITLE_LENGTH, pattern=wiki.TITLE.pattern)
]
Text = Annotated[
    str, Meta(max_length=wiki.TEXT_LENGTH, pattern=wiki.TEXT.pattern)
]


class PageInput(Struct, forbid_unknown_fields=True):
    """A page as an author sends it; nothing else may be sent."""

    title: Title
    text: Text


def require_user(
    connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
) -> None:
    """Know who asks, or answer 401."""
    sent = connection.headers.getall("Authorization", [])
    user = read_user(sent, TOKEN_SECRET)
    # rule: private
    if user is None:
        raise NotAuthorizedException(headers={"WWW-Authenticate": "Bearer"})
    connection.state.user = user


def choose_language(request: AnyRequest) -> str:
    """Choose the language that is asked for."""
    sent = request.headers.getall("Accept-Language", [])
    return wiki.choose_language(sent)


async def find_page(slug: str, language: str, session: AsyncSession) -> Page:
    """Find a page, or answer 404."""
    page = await session.scalar(wiki_pages.select_page(slug, language))
    if page is None:
        raise HTTPException(status_code=404)
    return page


def check_version(request: AnyRequest, page: Page) -> ColumnElement[bool]:
    """Let only those change a row who have seen it; give it as seen."""
    given = ", ".join(request.headers.getall("If-Match", []))
    # rule: edited
    if not given:
        raise HTTPException(status_code=428)
    # rule: edited
    if not is_match(given, wiki.page_tag(page.language, page.version)):
        raise HTTPException(status_code=412)
    return wiki_pages.as_found(page, any_version=given == "*")


def is_asked_for(
    request: AnyRequest, response: Response[Any], page: Page | None
) -> bool:
    """Judge what the client has; tell whether it needs the body."""
    lines = partial(request.headers.getall, default=[])
    modified = page.edited_at if page else None
    # rule: not-modified
    response.status_code = judge(lines, response.headers["ETag"], modified)
    if response.status_code == 412:
        raise HTTPException(status_code=412)
    return response.status_code != 304


@route(
    "/",
    http_method=SAFE,
    media_type=MediaType.HTML,
    cache_control=CacheControlHeader(
        # rule: shared-hits
        public=True,
        # rule: shared-hits
        max_age=0,
        # rule: shared-hits
        s_maxage=MAIN_SECONDS,
        # rule: stale-while-revalidate
        stale_while_revalidate=MAIN_STALE_SECONDS,
    ),
    # rule: variants
    response_headers=[Say(name="Vary", value="Accept-Language")],
)
async def get_main_page(
    request: AnyRequest, chosen: str, session: AsyncSession
) -> Response[str]:
    """Show the paths of all pages."""
    name = fingerprints.fingerprinted(Path(ASSETS_FOLDER, "wiki.css"))
    stylesheet = request.app.route_reverse("static", file_path=f"/{name}")
    edits = await session.scalar(wiki_pages.count_edits(chosen))
    headers = {
        # The tag before the pages: what is newer than its tag does no harm.
        # rule: validators
        "ETag": wiki.main_tag(chosen, edits, stylesheet),
        # rule: variants
        "Content-Language": chosen,
    }
    response = Response("", headers=headers)
    # rule: cheap-304
    if is_asked_for(request, response, None):
        found = await session.execute(wiki_pages.select_titles(chosen))
        path_of = partial(request.app.route_reverse, "page")
        paths = [(path_of(slug=slug), title) for slug, title in found]
        response.content = wiki.write_main_page(chosen, paths, stylesheet)
    return response


@route(
    "/pages/{slug:str}",
    http_method=SAFE,
    name="page",
    cache_control=CacheControlHeader(
        # rule: shared-hits
        public=True,
        # rule: shared-hits
        # rule: revalidated
        max_age=PAGE_SECONDS,
    ),
    # rule: variants
    response_headers=[Say(name="Vary", value="Accept-Language")],
)
async def get_page(
    slug: str, request: AnyRequest, chosen: str, session: AsyncSession
) -> Response[Any]:
    """Show a page in the language that is asked for."""
    return show_page(request, await find_page(slug, chosen, session))


@route(
    "/pages/{slug:str}/{language:str}",
    http_method=SAFE,
    name="page_in",
    cache_control=CacheControlHeader(
        # rule: shared-hits
        public=True,
        # rule: shared-hits
        # rule: revalidated
        max_age=PAGE_SECONDS,
    ),
)
async def get_page_in(request: AnyRequest, page: Page) -> Response[Any]:
    """Show a page in one language."""
    return show_page(request, page)


def show_page(request: AnyRequest, page: Page) -> Response[Any]:
    """Show a page to who does not have it as it is."""
    found = {"slug": page.slug, "language": page.language}
    headers = {
        # rule: validators
        "ETag": wiki.page_tag(page.language, page.version),
        # rule: validators
        "Last-Modified": http_date(page.edited_at),
        # rule: variants
        "Content-Language": page.language,
        # rule: variants
        "Content-Location": request.app.route_reverse("page_in", **found),
    }
    response: Response[Any] = Response(None, headers=headers)
    if is_asked_for(request, response, page):
        response.content = wiki.describe(page)
    return response


@put(
    "/pages/{slug:str}/{language:str}", status_code=204, guards=[require_user]
)
async def save_page(
    request: AnyRequest,
    data: PageInput,
    found: AsFound,
    session: AsyncSession,
) -> None:
    """Write a page anew."""
    values = to_builtins(data)
    changed = wiki_pages.change_page(found, values, request.state.user)
    if await session.scalar(changed) is None:
        raise HTTPException(status_code=412)
    await session.commit()


@route(
    "/contributions",
    http_method=SAFE,
    guards=[require_user],
    # rule: private
    cache_control=CacheControlHeader(private=True, no_cache=True),
)
async def get_contributions(
    request: AnyRequest, session: AsyncSession
) -> Response[Any]:
    """Show a user what nobody has edited since."""
    user = request.state.user
    edits = await session.scalar(wiki_pages.count_edits())
    headers = {
        # rule: validators
        "ETag": wiki.own_tag(user, edits),
    }
    response: Response[Any] = Response(None, headers=headers)
    if is_asked_for(request, response, None):
        found = await session.execute(wiki_pages.select_edited_by(user))
        pages = [{**row} for row in found.mappings()]
        response.content = {"user": user, "pages": pages}
    return response


def find_asset(request: AnyRequest) -> None:
    """Answer 404 for what Litestar would fail to look for."""
    name = str(request.path_params["file_path"]).removeprefix("/")
    if not fingerprints.is_published(PUBLISHED_FOLDER, name):
        raise HTTPException(status_code=404)


async def set_lifetime(message: Message, _scope: Scope) -> None:
    """Say of all other answers how long they are good for."""
    if message["type"] == "http.response.start":
        lifetime = CacheControlHeader(no_store=True)
        if message["status"] == 404:
            # rule: every-answer
            lifetime = CacheControlHeader(max_age=MISSING_SECONDS)
        headers = MutableScopeHeaders.from_message(message)
        # rule: every-answer
        headers.setdefault("Cache-Control", lifetime.to_header())


def prepare() -> None:
    """Make the table, its seed and the assets, once, before any worker."""
    fingerprints.publish(ASSETS_FOLDER, PUBLISHED_FOLDER)
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if SEED and not connection.scalar(select(func.count(Page.id))):
            connection.execute(insert(Page), [*wiki.seed_pages(SEED)])
    engine.dispose()


def create_app() -> Litestar:
    """Wire the application."""
    assets = create_static_files_router(
        "/assets",
        [fingerprints.open_folder(PUBLISHED_FOLDER)],
        before_request=find_asset,
        # rule: fingerprinted
        cache_control=CacheControlHeader(
            public=True, max_age=fingerprints.YEAR, immutable=True
        ),
    )
    database = SQLAlchemyAsyncConfig(
        engine_instance=create_async_engine(async_url(DATABASE_URL)),
        session_config=AsyncSessionConfig(expire_on_commit=False),
        session_dependency_key="session",
    )
    pages = [get_main_page, get_page, get_page_in, save_page]
    return Litestar(
        [assets, *pages, get_contributions],
        before_send=[set_lifetime],
        dependencies={
            "chosen": Provide(choose_language, sync_to_thread=False),
            "page": Provide(find_page),
            "found": Provide(check_version, sync_to_thread=False),
        },
        plugins=[ProblemPlugin(), SQLAlchemyInitPlugin(database)],
        request_max_body_size=2**20,
    )
