"""Health checks in Django: a daemon thread watches, views tell.

Idiom: the ORM opens a connection in each thread; who made the thread shuts it.
"""

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import closing
from functools import cache
from threading import Event
from typing import ClassVar

import httpx2
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import connection, models
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from frameworks.django.config import configure
from frameworks.django.problems import ProblemError
from frameworks.django.wsgi import Handler
from shared.daemons import begin
from shared.health import Health, Results, Verdict
from shared.price_seed import seed_prices

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///prices.db")
SEED = int(os.environ.get("SEED", "0"))
RATES_URL = os.environ.get("RATES_URL", "")
CHECK_TIMEOUT = float(os.environ.get("CHECK_TIMEOUT_SECONDS", "2"))
CHECK_INTERVAL = float(os.environ.get("CHECK_INTERVAL_SECONDS", "5"))

PRICES: dict[str, int] = {}
HEALTH = Health(
    CHECK_INTERVAL,
    CHECK_TIMEOUT,
    # rule: optional-degrades
    optional={"rates"},
)
logger = logging.getLogger(__name__)

configure(__name__, DATABASE_URL)


class Price(models.Model):
    """What an article costs."""

    article = models.TextField(primary_key=True)
    cents = models.IntegerField()

    objects: ClassVar[models.Manager["Price"]] = models.Manager()

    class Meta:
        db_table = "prices"


@cache
def rates_client() -> httpx2.Client:
    """Keep one client: to make one costs more than to ask."""
    return httpx2.Client(timeout=CHECK_TIMEOUT)


def check_database() -> None:
    """Read a row: `connection.is_usable()` would never touch the file."""
    with closing(connection):
        # rule: required-decides
        Price.objects.exists()


def check_rates() -> None:
    """Ask for an answer; what it says is not read."""
    with rates_client().stream("GET", RATES_URL) as answer:
        # rule: good-answer
        answer.raise_for_status()


def list_checks() -> dict[str, Callable[[], None]]:
    """List what is checked."""
    checks = {"database": check_database, "rates": check_rates}
    return checks if RATES_URL else {"database": check_database}


def run_checks(under_way: dict[str, Future[None]]) -> Results:
    """Run the checks side by side; one that is late has failed."""
    for name, check in list_checks().items():
        # No thread can be stopped: one that hangs is the only one.
        if name not in under_way or under_way[name].done():
            under_way[name] = begin(check)
    _, late = wait(
        under_way.values(),
        # rule: time-limit
        timeout=CHECK_TIMEOUT,
    )
    return {
        name: TimeoutError() if check in late else check.exception()
        for name, check in under_way.items()
    }


def load_prices() -> None:
    """Read all prices into memory: the warm-up."""
    with closing(connection):
        PRICES.update(Price.objects.values_list("article", "cents"))


def look(under_way: dict[str, Future[None]]) -> Results:
    """Warm up, if that is still to be done, and run the checks."""
    if not HEALTH.started:
        load_prices()
        # rule: started-first
        HEALTH.started = True
    return run_checks(under_way)


def watch(looked: Event) -> None:
    """Look again and again, whatever is found."""
    under_way: dict[str, Future[None]] = {}
    while True:
        try:
            results = look(under_way)
        # rule: started-first
        except Exception as error:
            results = {"prices": error}
        for change in HEALTH.note(results):
            # rule: pass-or-fail
            logger.warning(change)
        looked.set()
        # rule: cheap-probes
        time.sleep(CHECK_INTERVAL)


@require_safe
# rule: never-cached
@never_cache
def get_live(request: HttpRequest) -> HttpResponse:
    """Tell that this process answers."""
    # rule: live-alone
    return JsonResponse({"status": "live"})


@require_safe
# rule: never-cached
@never_cache
def get_started(request: HttpRequest) -> HttpResponse:
    """Tell whether the warm-up is done."""
    return answer(HEALTH.startup())


@require_safe
# rule: never-cached
@never_cache
def get_ready(request: HttpRequest) -> HttpResponse:
    """Tell whether requests are welcome."""
    return answer(HEALTH.readiness())


@require_safe
def get_price(request: HttpRequest, article: str) -> HttpResponse:
    """Show a price, from memory."""
    # rule: started-first
    if not HEALTH.started:
        raise ProblemError(503)
    cents = PRICES.get(article)
    if cents is None:
        raise Http404
    return JsonResponse({"article": article, "cents": cents})


def answer(verdict: Verdict) -> HttpResponse:
    """Answer with a verdict, which may be a problem document."""
    return JsonResponse(
        verdict.body, status=verdict.status, content_type=verdict.media_type
    )


urlpatterns = [
    path("livez", get_live),
    path("startupz", get_started),
    path("readyz", get_ready),
    path("prices/<article>", get_price),
]


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    if not Price.objects.exists():
        Price.objects.bulk_create(Price(**row) for row in seed_prices(SEED))
    connection.close()


def start_watching() -> None:
    """Watch in the background; most starts are over within the wait."""
    looked = Event()
    begin(watch, looked)
    looked.wait(CHECK_TIMEOUT)


def create_app() -> WSGIHandler:
    """Wire the application; each worker watches for itself."""
    start_watching()
    return Handler()
