"""HTTP caching in Django: decorators judge a request before the view.

Idiom: `@condition` in `@cache_control`; WhiteNoise sends the assets.
"""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.templatetags.static import static
from django.urls import path, reverse
from django.utils import timezone
from django.utils.http import parse_etags
from django.views.decorators.cache import cache_control
from django.views.decorators.http import (
    condition,
    etag,
    require_http_methods,
    require_safe,
)
from django.views.decorators.vary import vary_on_headers
from pydantic import BaseModel, Field

from frameworks.django.config import SETTINGS, ModuleConfig, configure
from frameworks.django.problems import (
    ProblemError,
    fill,
    load_json,
    problem_response,
)
from frameworks.django.wsgi import Handler
from shared import wiki
from shared.problems import problem_document
from shared.signed_users import read_user

type View = Callable[..., HttpResponse]

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///wiki.db")
SEED = int(os.environ.get("SEED", "0"))
TOKEN_SECRET = os.environ["TOKEN_SECRET"]
ASSETS_FOLDER = os.environ.get(
    "ASSETS_FOLDER", str(Path(__file__).parents[1] / "assets")
)
PUBLISHED_FOLDER = os.environ.get("PUBLISHED_FOLDER", "published")
PAGE_SECONDS = int(os.environ.get("PAGE_SECONDS", "60"))
MAIN_SECONDS = int(os.environ.get("MAIN_SECONDS", "10"))
MAIN_STALE_SECONDS = int(os.environ.get("MAIN_STALE_SECONDS", "60"))
MISSING_SECONDS = int(os.environ.get("MISSING_SECONDS", "5"))

configure(
    __name__,
    DATABASE_URL,
    INSTALLED_APPS=[
        "django.contrib.staticfiles",
        ModuleConfig(__name__, sys.modules[__name__]),
    ],
    MIDDLEWARE=[
        f"{__name__}.middleware.set_lifetime",
        *SETTINGS["MIDDLEWARE"],
        "whitenoise.middleware.WhiteNoiseMiddleware",
    ],
    STATIC_ROOT=Path(PUBLISHED_FOLDER).absolute(),
    STATIC_URL="/assets/",
    STATICFILES_DIRS=[ASSETS_FOLDER],
    # rule: fingerprinted
    STORAGES={
        "staticfiles": {
            "BACKEND": "django.contrib.staticfiles.storage"
            ".ManifestStaticFilesStorage",
        },
    },
    # By itself it takes only those of this release for unchanging.
    # rule: fingerprinted
    WHITENOISE_IMMUTABLE_FILE_TEST=r"\.[0-9a-f]{12}\.[a-z]+\Z",
)


# Models need the settings.
from recipes.networking.http_caching.django_app.models import (  # noqa: E402
    Page,
)

# And these need the models.
from recipes.networking.http_caching.django_app.validators import (  # noqa: E402
    choose_language,
    main_tag,
    own_tag,
    page_tag,
    page_time,
)


class PageInput(BaseModel, extra="forbid", strict=True):
    """A page as an author sends it; nothing else may be sent."""

    title: str = Field(max_length=wiki.TITLE_LENGTH, pattern=wiki.TITLE)
    text: str = Field(max_length=wiki.TEXT_LENGTH, pattern=wiki.TEXT)


def require_user(view: View) -> View:
    """Tell a view who asks, or answer 401."""

    @wraps(view)
    def wrapper(
        request: HttpRequest, *args: object, **kwargs: object
    ) -> HttpResponse:
        sent = request.headers.get("Authorization", "")
        user = read_user([sent], TOKEN_SECRET)
        # rule: private
        if user is None:
            response = problem_response(problem_document(401))
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return view(request, *args, **kwargs, user=user)

    return wrapper


def find_page(slug: str, language: str) -> Page:
    """Find a page, or answer 404."""
    return get_object_or_404(Page, slug=slug, language=language)


def check_version(request: HttpRequest, page: Page) -> Q:
    """Let only those change a row who have seen it; give it as seen."""
    # rule: edited
    if "If-Match" not in request.headers:
        raise ProblemError(428)
    tags = parse_etags(request.headers["If-Match"])
    if tags == ["*"]:
        return Q(pk=page.pk)
    # rule: edited
    if page_tag(request, page) not in tags:
        raise ProblemError(412)
    return Q(pk=page.pk, version=page.version)


@require_safe
# rule: variants
@vary_on_headers("Accept-Language")
@cache_control(
    # rule: shared-hits
    public=True,
    # rule: shared-hits
    max_age=0,
    # rule: shared-hits
    s_maxage=MAIN_SECONDS,
    # rule: stale-while-revalidate
    stale_while_revalidate=MAIN_STALE_SECONDS,
)
# The tag before the pages: what is newer than its tag does no harm.
# rule: validators
# rule: not-modified
# rule: cheap-304
@etag(main_tag)
def get_main_page(request: HttpRequest) -> HttpResponse:
    """Show the paths of all pages."""
    language = choose_language(request)
    found = Page.objects.filter(language=language).order_by("title", "id")
    titles = found.values_list("slug", "title")
    paths = [(reverse("page", args=[slug]), title) for slug, title in titles]
    headers = {
        # rule: variants
        "Content-Language": language,
    }
    content = wiki.write_main_page(language, paths, static("wiki.css"))
    return HttpResponse(content, wiki.MEDIA_TYPE, headers=headers)


@require_safe
# rule: variants
@vary_on_headers("Accept-Language")
def get_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a page in the language that is asked for."""
    return get_page_in(request, slug, choose_language(request))


def get_page_in(
    request: HttpRequest, slug: str, language: str
) -> HttpResponse:
    """Show a page in one language."""
    response = show_page(request, find_page(slug, language))
    # A 304 is made before the view is asked, and needs it as well.
    # rule: variants
    response.headers["Content-Location"] = reverse(
        "page_in", args=[slug, language]
    )
    return response


@cache_control(
    # rule: shared-hits
    public=True,
    # rule: shared-hits
    # rule: revalidated
    max_age=PAGE_SECONDS,
)
@condition(
    # rule: validators
    # rule: not-modified
    etag_func=page_tag,
    # rule: validators
    last_modified_func=page_time,
)
def show_page(_request: HttpRequest, page: Page) -> HttpResponse:
    """Show a page to who does not have it as it is."""
    headers = {
        # rule: variants
        "Content-Language": page.language,
    }
    return JsonResponse(wiki.describe(page), headers=headers)


@require_user
def save_page(
    request: HttpRequest, slug: str, language: str, user: str
) -> HttpResponse:
    """Write a page anew."""
    # What is no JSON is refused whatever the version.
    body = load_json(request)
    found = check_version(request, find_page(slug, language))
    changed = Page.objects.filter(found).update(
        **fill(PageInput, body).model_dump(),
        edited_by=user,
        edited_at=timezone.now(),
        # rule: validators
        version=F("version") + 1,
    )
    if not changed:
        raise ProblemError(412)
    return HttpResponse(status=204)


@require_http_methods(["GET", "HEAD", "PUT"])
def handle_page(
    request: HttpRequest, slug: str, language: str
) -> HttpResponse:
    """Show a page in one language, or write it anew."""
    view = save_page if request.method == "PUT" else get_page_in
    return view(request, slug, language)


@require_safe
@require_user
@cache_control(
    # rule: private
    private=True,
    # rule: private
    no_cache=True,
)
# rule: validators
# rule: not-modified
@etag(own_tag)
def get_contributions(_request: HttpRequest, user: str) -> HttpResponse:
    """Show a user what nobody has edited since."""
    found = Page.objects.filter(edited_by=user).order_by("id")
    rows = found.values("slug", "language", "version")
    return JsonResponse({"user": user, "pages": [*rows]})


urlpatterns = [
    path("", get_main_page),
    path("pages/<slug>", get_page, name="page"),
    path("pages/<slug>/<language>", handle_page, name="page_in"),
    path("contributions", get_contributions),
]


def prepare() -> None:
    """Make the table, its seed and the assets, once, before any worker."""
    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    with transaction.atomic():
        if not Page.objects.exists():
            rows = wiki.seed_pages(SEED)
            Page.objects.bulk_create(Page(**row) for row in rows)
    connection.close()


def create_app() -> WSGIHandler:
    """Wire the application."""
    return Handler()
