"""HTTP caching in Django: what `@condition` asks before it asks a view.

Idiom: functions of the request, each with a query of its own.
"""

from datetime import datetime

from django.db import models
from django.http import HttpRequest
from django.templatetags.static import static

from recipes.networking.http_caching.django_app.models import Page
from shared import wiki


def choose_language(request: HttpRequest) -> str:
    """Choose the language that is asked for."""
    return wiki.choose_language([request.headers.get("Accept-Language", "")])


def main_tag(request: HttpRequest) -> str:
    """Tell the tag of the main page: a sum, not the page."""
    language = choose_language(request)
    found = Page.objects.filter(language=language)
    edits = found.aggregate(edits=models.Sum("version"))["edits"]
    return wiki.main_tag(language, edits, static("wiki.css"))


def page_tag(_request: HttpRequest, page: Page) -> str:
    """Tell the tag of a page."""
    return wiki.page_tag(page.language, page.version)


def page_time(_request: HttpRequest, page: Page) -> datetime:
    """Tell the time of the last edit."""
    return page.edited_at


def own_tag(_request: HttpRequest, user: str) -> str:
    """Tell the tag of what is a user's own."""
    edits = Page.objects.aggregate(edits=models.Sum("version"))["edits"]
    return wiki.own_tag(user, edits)
