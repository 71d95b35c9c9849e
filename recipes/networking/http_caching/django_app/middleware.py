"""HTTP caching in Django: how long answers are good for that do not say.

Idiom: a middleware around all others sees what each of them answers.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control

from recipes.networking.http_caching.django_app import MISSING_SECONDS


def set_lifetime(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Say of all other answers how long they are good for."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        # `CommonMiddleware` counts the body of a 304, which has none.
        if response.status_code == 304:
            # rule: not-modified
            del response.headers["Content-Length"]
        # `@cache_control` is around what answers 412, too.
        if response.status_code >= 400:
            # rule: every-answer
            del response.headers["Cache-Control"]
        if "Cache-Control" in response.headers:
            return response
        if response.status_code == 404:
            # rule: every-answer
            patch_cache_control(response, max_age=MISSING_SECONDS)
        else:
            # rule: every-answer
            patch_cache_control(response, no_store=True)
        return response

    return middleware
