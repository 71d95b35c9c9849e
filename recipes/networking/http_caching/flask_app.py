"""HTTP caching in Flask: a response is judged before it has a body.

Idiom: `make_conditional` judges; `cache_control` and `vary` are attributes.
"""

import os
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, json, request, url_for
from flask.typing import ResponseReturnValue
from flask_sqlalchemy_lite import SQLAlchemy
from marshmallow import Schema, fields
from marshmallow.validate import Length, Regexp
from sqlalchemy import ColumnElement, func, insert, select
from werkzeug.datastructures import WWWAuthenticate

from frameworks.flask.problems import register_problems
from shared import fingerprints, wiki, wiki_pages
from shared.database import sync_url
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

db = SQLAlchemy()
pages = Blueprint("pages", __name__)


class PageInput(Schema):
    """A page as an author sends it; nothing else may be sent."""

    title = fields.String(
        required=True,
        validate=[Length(max=wiki.TITLE_LENGTH), Regexp(wiki.TITLE)],
    )
    text = fields.String(
        required=True,
        validate=[Length(max=wiki.TEXT_LENGTH), Regexp(wiki.TEXT)],
    )


class Wiki(Flask):
    """Flask, whose static files are fingerprinted, and so never change."""

    def send_static_file(self, filename: str) -> Response:
        """Send an asset that nobody has to ask for again."""
        response = super().send_static_file(filename)
        # rule: fingerprinted
        response.cache_control.immutable = True
        return response


def require_user() -> str:
    """Tell who asks, or answer 401."""
    sent = request.headers.getlist("Authorization")
    user = read_user(sent, TOKEN_SECRET)
    # rule: private
    if user is None:
        abort(401, www_authenticate=WWWAuthenticate("bearer"))
    return user


def find_page(slug: str, language: str) -> Page:
    """Find a page, or answer 404."""
    page = db.session.scalar(wiki_pages.select_page(slug, language))
    if page is None:
        abort(404)
    return page


def check_version(page: Page) -> ColumnElement[bool]:
    """Let only those change a row who have seen it; give it as seen."""
    # rule: edited
    if "If-Match" not in request.headers:
        abort(428)
    tag = wiki.page_tag(page.language, page.version)
    # rule: edited
    if not request.if_match.contains_raw(tag):
        abort(412)
    return wiki_pages.as_found(page, any_version=request.if_match.star_tag)


def choose_language() -> str:
    """Choose the language that is asked for."""
    return wiki.choose_language(request.headers.getlist("Accept-Language"))


def is_asked_for(response: Response) -> bool:
    """Judge what the client has; tell whether it needs the body."""
    # rule: not-modified
    # rule: revalidated
    response.make_conditional(request)
    if response.status_code == 412:
        abort(412)
    return response.status_code == 200


@pages.get("/")
def get_main_page() -> ResponseReturnValue:
    """Show the paths of all pages."""
    language = choose_language()
    name = fingerprints.fingerprinted(Path(ASSETS_FOLDER, "wiki.css"))
    stylesheet = url_for("static", filename=name)
    edits = db.session.scalar(wiki_pages.count_edits(language))
    response = Response(content_type=wiki.MEDIA_TYPE)
    # The tag before the pages: what is newer than its tag does no harm.
    # rule: validators
    response.headers["ETag"] = wiki.main_tag(language, edits, stylesheet)
    # rule: shared-hits
    response.cache_control.public = True
    # rule: shared-hits
    response.cache_control.max_age = 0
    # rule: shared-hits
    response.cache_control.s_maxage = MAIN_SECONDS
    # rule: stale-while-revalidate
    response.cache_control.stale_while_revalidate = MAIN_STALE_SECONDS
    # rule: variants
    response.content_language.add(language)
    # rule: variants
    response.vary.add("Accept-Language")
    # rule: cheap-304
    if is_asked_for(response):
        found = db.session.execute(wiki_pages.select_titles(language))
        paths = [(path_of(slug), title) for slug, title in found]
        response.data = wiki.write_main_page(language, paths, stylesheet)
    return response


@pages.get("/pages/<slug>")
def get_page(slug: str) -> ResponseReturnValue:
    """Show a page in the language that is asked for."""
    response = show_page(find_page(slug, choose_language()))
    # rule: variants
    response.vary.add("Accept-Language")
    return response


@pages.get("/pages/<slug>/<language>")
def get_page_in(slug: str, language: str) -> ResponseReturnValue:
    """Show a page in one language."""
    return show_page(find_page(slug, language))


def show_page(page: Page) -> Response:
    """Show a page to who does not have it as it is."""
    response = Response(mimetype="application/json")
    # rule: validators
    response.headers["ETag"] = wiki.page_tag(page.language, page.version)
    # rule: validators
    response.last_modified = page.edited_at
    # rule: shared-hits
    response.cache_control.public = True
    # rule: shared-hits
    # rule: revalidated
    response.cache_control.max_age = PAGE_SECONDS
    # rule: variants
    response.content_language.add(page.language)
    # rule: variants
    response.content_location = path_of(page.slug, page.language)
    if is_asked_for(response):
        response.data = json.dumps(wiki.describe(page))
    return response


@pages.put("/pages/<slug>/<language>")
def save_page(slug: str, language: str) -> ResponseReturnValue:
    """Write a page anew."""
    user = require_user()
    # What is no JSON is refused whatever the version.
    body = request.get_json()
    found = check_version(find_page(slug, language))
    values = PageInput().load(body)
    if db.session.scalar(wiki_pages.change_page(found, values, user)) is None:
        abort(412)
    db.session.commit()
    return "", 204


@pages.get("/contributions")
def get_contributions() -> ResponseReturnValue:
    """Show a user what nobody has edited since."""
    user = require_user()
    edits = db.session.scalar(wiki_pages.count_edits())
    response = Response(mimetype="application/json")
    # rule: validators
    response.headers["ETag"] = wiki.own_tag(user, edits)
    # rule: private
    response.cache_control.private = True
    # rule: private
    response.cache_control.no_cache = True
    if is_asked_for(response):
        found = db.session.execute(wiki_pages.select_edited_by(user))
        own = {"user": user, "pages": [{**row} for row in found.mappings()]}
        response.data = json.dumps(own)
    return response


def path_of(slug: str, language: str | None = None) -> str:
    """Say where a page is, in a language or in any."""
    if language is None:
        return url_for("pages.get_page", slug=slug)
    return url_for("pages.get_page_in", slug=slug, language=language)


def set_lifetime(response: Response) -> Response:
    """Say of all other answers how long they are good for."""
    if "Cache-Control" in response.headers:
        return response
    if response.status_code == 404:
        # rule: every-answer
        response.cache_control.max_age = MISSING_SECONDS
    else:
        # rule: every-answer
        response.cache_control.no_store = True
    return response


def prepare() -> None:
    """Make the table, its seed and the assets, once, before any worker."""
    fingerprints.publish(ASSETS_FOLDER, PUBLISHED_FOLDER)
    with create_app().app_context(), db.engine.begin() as connection:
        Base.metadata.create_all(connection)
        if SEED and not connection.scalar(select(func.count(Page.id))):
            connection.execute(insert(Page), [*wiki.seed_pages(SEED)])


def create_app() -> Flask:
    """Wire the application."""
    app = Wiki(
        __name__,
        static_folder=fingerprints.open_folder(PUBLISHED_FOLDER),
        static_url_path="/assets",
    )
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    # rule: fingerprinted
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = fingerprints.YEAR
    app.config["SQLALCHEMY_ENGINES"] = {"default": sync_url(DATABASE_URL)}
    db.init_app(app)
    register_problems(app)
    app.after_request(set_lifetime)
    app.register_blueprint(pages)
    return app
