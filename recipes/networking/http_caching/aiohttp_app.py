"""HTTP caching in aiohttp: headers first, then what is asked, then a body.

Idiom: a response is filled in step by step; a signal sees each one go out.
"""

import json
import logging
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, create_engine, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.aiohttp.problems import answer_problems, fill, load_json
from shared import fingerprints, wiki, wiki_pages
from shared.conditions import judge
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

SESSIONS = web.AppKey("SESSIONS", async_sessionmaker[AsyncSession])
SESSION = web.RequestKey("SESSION", AsyncSession)
routes = web.RouteTableDef()


class PageInput(BaseModel, extra="forbid", strict=True):
    """A page as an author sends it; nothing else may be sent."""

    title: str = Field(max_length=wiki.TITLE_LENGTH, pattern=wiki.TITLE)
    text: str = Field(max_length=wiki.TEXT_LENGTH, pattern=wiki.TEXT)


def require_user(request: web.Request) -> str:
    """Tell who asks, or answer 401."""
    sent = request.headers.getall(hdrs.AUTHORIZATION, [])
    user = read_user(sent, TOKEN_SECRET)
    # rule: private
    if user is None:
        raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
    return user


def choose_language(request: web.Request) -> str:
    """Choose the language that is asked for."""
    sent = request.headers.getall(hdrs.ACCEPT_LANGUAGE, [])
    return wiki.choose_language(sent)


async def find_page(request: web.Request, language: str) -> Page:
    """Find a page, or answer 404."""
    slug = request.match_info["slug"]
    statement = wiki_pages.select_page(slug, language)
    page = await request[SESSION].scalar(statement)
    if page is None:
        raise web.HTTPNotFound
    return page


def check_version(request: web.Request, page: Page) -> ColumnElement[bool]:
    """Let only those change a row who have seen it; give it as seen."""
    # `request.if_match` reads the first of several lines alone.
    given = ", ".join(request.headers.getall(hdrs.IF_MATCH, []))
    # rule: edited
    if not given:
        raise web.HTTPPreconditionRequired
    # rule: edited
    if not is_match(given, wiki.page_tag(page.language, page.version)):
        raise web.HTTPPreconditionFailed
    return wiki_pages.as_found(page, any_version=given == "*")


def is_asked_for(
    request: web.Request, response: web.Response, page: Page | None = None
) -> bool:
    """Judge what the client has; tell whether it needs the body."""
    lines = partial(request.headers.getall, default=[])
    tag = response.headers.get(hdrs.ETAG, "")
    status = judge(lines, tag, page.edited_at if page else None)
    if status == 412:
        raise web.HTTPPreconditionFailed
    # rule: not-modified
    # rule: revalidated
    response.set_status(status)
    return response.status != 304


@routes.get("/")
async def get_main_page(request: web.Request) -> web.Response:
    """Show the paths of all pages."""
    language = choose_language(request)
    name = fingerprints.fingerprinted(Path(ASSETS_FOLDER, "wiki.css"))
    stylesheet = str(request.app.router["assets"].url_for(filename=name))
    edits = await request[SESSION].scalar(wiki_pages.count_edits(language))
    lifetime = [
        # rule: shared-hits
        "public",
        # rule: shared-hits
        "max-age=0",
        # rule: shared-hits
        f"s-maxage={MAIN_SECONDS}",
        # rule: stale-while-revalidate
        f"stale-while-revalidate={MAIN_STALE_SECONDS}",
    ]
    headers = {
        # The tag before the pages: what is newer than its tag does no harm.
        # rule: validators
        "ETag": wiki.main_tag(language, edits, stylesheet),
        "Cache-Control": ", ".join(lifetime),
        # rule: variants
        "Content-Language": language,
        # rule: variants
        "Vary": "Accept-Language",
    }
    response = web.Response(headers=headers)
    # rule: cheap-304
    if is_asked_for(request, response):
        titles = wiki_pages.select_titles(language)
        found = await request[SESSION].execute(titles)
        path_of = request.app.router["page"].url_for
        paths = [(str(path_of(slug=slug)), title) for slug, title in found]
        response.content_type = "text/html"
        response.text = wiki.write_main_page(language, paths, stylesheet)
    return response


@routes.get("/pages/{slug}", name="page")
async def get_page(request: web.Request) -> web.Response:
    """Show a page in the language that is asked for."""
    page = await find_page(request, choose_language(request))
    response = show_page(request, page)
    # rule: variants
    response.headers[hdrs.VARY] = hdrs.ACCEPT_LANGUAGE
    return response


@routes.get("/pages/{slug}/{language}", name="page_in")
async def get_page_in(request: web.Request) -> web.Response:
    """Show a page in one language."""
    page = await find_page(request, request.match_info["language"])
    return show_page(request, page)


def show_page(request: web.Request, page: Page) -> web.Response:
    """Show a page to who does not have it as it is."""
    found = {"slug": page.slug, "language": page.language}
    place = request.app.router["page_in"].url_for(**found)
    headers = {
        # rule: validators
        "ETag": wiki.page_tag(page.language, page.version),
        # rule: shared-hits
        # rule: revalidated
        "Cache-Control": f"public, max-age={PAGE_SECONDS}",
        # rule: variants
        "Content-Language": page.language,
        # rule: variants
        "Content-Location": str(place),
    }
    response = web.Response(headers=headers)
    # aiohttp would round up, to a time that is yet to come.
    # rule: validators
    response.last_modified = page.edited_at.replace(microsecond=0)
    if is_asked_for(request, response, page):
        response.content_type = "application/json"
        response.text = json.dumps(wiki.describe(page))
    return response


@routes.put("/pages/{slug}/{language}")
async def save_page(request: web.Request) -> web.Response:
    """Write a page anew."""
    user = require_user(request)
    # What is no JSON is refused whatever the version.
    body = await load_json(request)
    page = await find_page(request, request.match_info["language"])
    found = check_version(request, page)
    values = fill(PageInput, body).model_dump()
    changed = wiki_pages.change_page(found, values, user)
    if await request[SESSION].scalar(changed) is None:
        raise web.HTTPPreconditionFailed
    await request[SESSION].commit()
    return web.Response(status=204)


@routes.get("/contributions")
async def get_contributions(request: web.Request) -> web.Response:
    """Show a user what nobody has edited since."""
    user = require_user(request)
    edits = await request[SESSION].scalar(wiki_pages.count_edits())
    headers = {
        # rule: validators
        "ETag": wiki.own_tag(user, edits),
        # rule: private
        "Cache-Control": "private, no-cache",
    }
    response = web.Response(headers=headers)
    if is_asked_for(request, response):
        statement = wiki_pages.select_edited_by(user)
        found = await request[SESSION].execute(statement)
        own = {"user": user, "pages": [{**row} for row in found.mappings()]}
        response.content_type = "application/json"
        response.text = json.dumps(own)
    return response


async def set_lifetime(
    request: web.Request, response: web.StreamResponse
) -> None:
    """Say of all other answers how long they are good for."""
    lifetime = "no-store"
    if response.status == 404:
        # rule: every-answer
        lifetime = f"max-age={MISSING_SECONDS}"
    elif is_asset(request) and response.status in (200, 304):
        # rule: fingerprinted
        lifetime = fingerprints.IMMUTABLE
    # rule: every-answer
    response.headers.setdefault(hdrs.CACHE_CONTROL, lifetime)


def is_asset(request: web.Request) -> bool:
    """Tell whether a static file is asked for."""
    resource = request.match_info.route.resource
    return isinstance(resource, web.StaticResource)


@web.middleware
async def find_asset(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Answer 404 in our words; aiohttp's own has none."""
    if is_asset(request):
        name = request.match_info["filename"]
        if not fingerprints.is_published(PUBLISHED_FOLDER, name):
            raise web.HTTPNotFound
    return await handler(request)


def prepare() -> None:
    """Make the table, its seed and the assets, once, before any worker."""
    fingerprints.publish(ASSETS_FOLDER, PUBLISHED_FOLDER)
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if SEED and not connection.scalar(select(func.count(Page.id))):
            connection.execute(insert(Page), [*wiki.seed_pages(SEED)])
    engine.dispose()


async def keep_engine(app: web.Application) -> AsyncIterator[None]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    app[SESSIONS] = async_sessionmaker(engine, expire_on_commit=False)
    yield
    await engine.dispose()


@web.middleware
async def open_session(
    request: web.Request, handler: Handler
) -> web.StreamResponse:
    """Open a session for one request."""
    async with request.app[SESSIONS]() as session:
        request[SESSION] = session
        return await handler(request)


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application."""
    # The runner logs at DEBUG, where aiosqlite shows every statement.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    app = web.Application(
        middlewares=[answer_problems, find_asset, open_session]
    )
    app.cleanup_ctx.append(keep_engine)
    app.on_response_prepare.append(set_lifetime)
    app.add_routes(routes)
    folder = fingerprints.open_folder(PUBLISHED_FOLDER)
    app.router.add_static("/assets", folder, name="assets")
    return app
