"""HTTP caching in FastAPI: headers first, then what is asked, then a body.

Idiom: dependencies find and prove; Starlette's `StaticFiles` has the assets.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
)
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, create_engine, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frameworks.fastapi.problems import (
    StrictRoute,
    register_problems,
    require_json,
)
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

pages = APIRouter(route_class=StrictRoute)


class PageInput(BaseModel, extra="forbid", strict=True):
    """A page as an author sends it; nothing else may be sent."""

    title: str = Field(max_length=wiki.TITLE_LENGTH, pattern=wiki.TITLE)
    text: str = Field(max_length=wiki.TEXT_LENGTH, pattern=wiki.TEXT)


class Assets(StaticFiles):
    """Static files that are fingerprinted, and so never change."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Send an asset that nobody has to ask for again."""
        response = super().file_response(*args, **kwargs)
        # rule: fingerprinted
        response.headers["Cache-Control"] = fingerprints.IMMUTABLE
        return response


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """Open a session for one request."""
    async with request.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


def require_user(request: Request) -> str:
    """Tell who asks, or answer 401."""
    sent = request.headers.getlist("Authorization")
    user = read_user(sent, TOKEN_SECRET)
    # rule: private
    if user is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return user


User = Annotated[str, Depends(require_user)]


def choose_language(request: Request) -> str:
    """Choose the language that is asked for."""
    return wiki.choose_language(request.headers.getlist("Accept-Language"))


Chosen = Annotated[str, Depends(choose_language)]


async def find_page(slug: str, language: str, session: Session) -> Page:
    """Find a page, or answer 404."""
    page = await session.scalar(wiki_pages.select_page(slug, language))
    if page is None:
        raise HTTPException(404)
    return page


Found = Annotated[Page, Depends(find_page)]


def check_version(request: Request, page: Found) -> ColumnElement[bool]:
    """Let only those change a row who have seen it; give it as seen."""
    given = ", ".join(request.headers.getlist("If-Match"))
    # rule: edited
    if not given:
        raise HTTPException(428)
    # rule: edited
    if not is_match(given, wiki.page_tag(page.language, page.version)):
        raise HTTPException(412)
    return wiki_pages.as_found(page, any_version=given == "*")


AsFound = Annotated[ColumnElement[bool], Depends(check_version)]


def answer_known(
    request: Request, headers: dict[str, str], modified: datetime | None = None
) -> Response | None:
    """Answer who has it as it is; nothing for those who need the body."""
    status = judge(request.headers.getlist, headers.get("ETag", ""), modified)
    if status == 412:
        raise HTTPException(412)
    # rule: not-modified
    # rule: revalidated
    if status == 304:
        return Response(status_code=304, headers=headers)
    return None


@pages.head("/")
@pages.get("/")
async def get_main_page(
    request: Request, language: Chosen, session: Session
) -> Response:
    """Show the paths of all pages."""
    name = fingerprints.fingerprinted(Path(ASSETS_FOLDER, "wiki.css"))
    stylesheet = str(request.app.url_path_for("assets", path=name))
    edits = await session.scalar(wiki_pages.count_edits(language))
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
    # rule: cheap-304
    if known := answer_known(request, headers):
        return known
    found = await session.execute(wiki_pages.select_titles(language))
    path_of = partial(pages.url_path_for, "get_page")
    paths = [(path_of(slug=slug), title) for slug, title in found]
    content = wiki.write_main_page(language, paths, stylesheet)
    return HTMLResponse(content, headers=headers)


@pages.head("/pages/{slug}")
@pages.get("/pages/{slug}")
async def get_page(
    slug: str, language: Chosen, request: Request, session: Session
) -> Response:
    """Show a page in the language that is asked for."""
    page = await find_page(slug, language, session)
    response = await get_page_in(request, page)
    # rule: variants
    response.headers["Vary"] = "Accept-Language"
    return response


@pages.head("/pages/{slug}/{language}")
@pages.get("/pages/{slug}/{language}")
async def get_page_in(request: Request, page: Found) -> Response:
    """Show a page in one language."""
    found = {"slug": page.slug, "language": page.language}
    headers = {
        # rule: validators
        "ETag": wiki.page_tag(page.language, page.version),
        # rule: validators
        "Last-Modified": http_date(page.edited_at),
        # rule: shared-hits
        # rule: revalidated
        "Cache-Control": f"public, max-age={PAGE_SECONDS}",
        # rule: variants
        "Content-Language": page.language,
        # rule: variants
        "Content-Location": pages.url_path_for("get_page_in", **found),
    }
    if known := answer_known(request, headers, page.edited_at):
        return known
    return JSONResponse(wiki.describe(page), headers=headers)


@pages.put(
    "/pages/{slug}/{language}",
    status_code=204,
    response_class=Response,
    # Before the precondition, which counts for what could be done.
    dependencies=[Depends(require_user), Depends(require_json)],
)
async def save_page(
    page_input: PageInput, user: User, found: AsFound, session: Session
) -> None:
    """Write a page anew."""
    values = page_input.model_dump()
    if (
        await session.scalar(wiki_pages.change_page(found, values, user))
        is None
    ):
        raise HTTPException(412)
    await session.commit()


@pages.head("/contributions")
@pages.get("/contributions")
async def get_contributions(
    request: Request, user: User, session: Session
) -> Response:
    """Show a user what nobody has edited since."""
    edits = await session.scalar(wiki_pages.count_edits())
    headers = {
        # rule: validators
        "ETag": wiki.own_tag(user, edits),
        # rule: private
        "Cache-Control": "private, no-cache",
    }
    if known := answer_known(request, headers):
        return known
    found = (
        await session.execute(wiki_pages.select_edited_by(user))
    ).mappings()
    own = {"user": user, "pages": [{**row} for row in found]}
    return JSONResponse(own, headers=headers)


def set_lifetime(app: ASGIApp) -> ASGIApp:
    """Say of all other answers how long they are good for."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                lifetime = "no-store"
                if message["status"] == 404:
                    # rule: every-answer
                    lifetime = f"max-age={MISSING_SECONDS}"
                headers = MutableHeaders(scope=message)
                # rule: every-answer
                headers.setdefault("Cache-Control", lifetime)
            await send(message)

        await app(scope, receive, send_on)

    return middleware


class Wiki(FastAPI):
    """FastAPI, in a layer that sees its failures too."""

    def build_middleware_stack(self) -> ASGIApp:
        """Go around all; `add_middleware` would be inside of those."""
        return set_lifetime(super().build_middleware_stack())


def prepare() -> None:
    """Make the table, its seed and the assets, once, before any worker."""
    fingerprints.publish(ASSETS_FOLDER, PUBLISHED_FOLDER)
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if SEED and not connection.scalar(select(func.count(Page.id))):
            connection.execute(insert(Page), [*wiki.seed_pages(SEED)])
    engine.dispose()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Keep one engine for the life of a worker."""
    engine = create_async_engine(async_url(DATABASE_URL))
    yield {"sessions": async_sessionmaker(engine, expire_on_commit=False)}
    await engine.dispose()


def create_app() -> FastAPI:
    """Wire the application."""
    app = Wiki(lifespan=lifespan, max_body_size=2**20, redirect_slashes=False)
    register_problems(app)
    app.include_router(pages)
    assets = Assets(directory=fingerprints.open_folder(PUBLISHED_FOLDER))
    app.mount("/assets", assets, name="assets")
    return app
