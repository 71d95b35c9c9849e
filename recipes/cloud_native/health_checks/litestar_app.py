"""Health checks in Litestar: a lifespan watches, handlers tell.

Idiom: a lifespan keeps the state, dependencies provide it, layers the headers.
"""

import asyncio
import logging
import os
from asyncio import Event, Task
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
from litestar import Litestar, Response, Router, get
from litestar.datastructures import CacheControlHeader, State
from litestar.di import Provide
from litestar.exceptions import NotFoundException, ServiceUnavailableException
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.litestar.problems import ProblemPlugin
from shared.database import async_url, sync_url
from shared.health import Health, Results, Verdict
from shared.price_seed import seed_prices
from shared.prices import Base, Price

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///prices.db")
SEED = int(os.environ.get("SEED", "0"))
RATES_URL = os.environ.get("RATES_URL", "")
CHECK_TIMEOUT = float(os.environ.get("CHECK_TIMEOUT_SECONDS", "2"))
CHECK_INTERVAL = float(os.environ.get("CHECK_INTERVAL_SECONDS", "5"))

logger = logging.getLogger(__name__)

type Check = Callable[[Parts], Coroutine[Any, Any, None]]


@dataclass
class Parts:
    """What one process depends on, and what it knows of that."""

    sessions: async_sessionmaker[AsyncSession]
    client: httpx2.AsyncClient
    prices: dict[str, int] = field(default_factory=dict)
    under_way: dict[str, Task[None]] = field(default_factory=dict)
    health: Health = field(
        default_factory=lambda: Health(
            CHECK_INTERVAL,
            CHECK_TIMEOUT,
            # rule: optional-degrades
            optional={"rates"},
        )
    )


async def check_database(parts: Parts) -> None:
    """Read a row: `SELECT 1` alone would never touch the file."""
    async with parts.sessions() as session:
        # rule: required-decides
        await session.scalar(select(Price.article).limit(1))


async def check_rates(parts: Parts) -> None:
    """Ask for an answer; what it says is not read."""
    # The client's own limit is for each read.
    async with (
        asyncio.timeout(CHECK_TIMEOUT),
        parts.client.stream("GET", RATES_URL) as answer,
    ):
        # rule: good-answer
        answer.raise_for_status()


def list_checks() -> dict[str, Check]:
    """List what is checked."""
    checks: dict[str, Check] = {"database": check_database}
    return checks | {"rates": check_rates} if RATES_URL else checks


async def run_checks(parts: Parts) -> Results:
    """Run the checks side by side; one that is late has failed."""
    tasks = parts.under_way
    for name, check in list_checks().items():
        # A task may hang even when it is cancelled: none is begun beside it.
        if name not in tasks or tasks[name].done():
            tasks[name] = asyncio.create_task(check(parts))
    _, late = await asyncio.wait(
        tasks.values(),
        # rule: time-limit
        timeout=CHECK_TIMEOUT,
    )
    return {
        name: TimeoutError() if task in late else task.exception()
        for name, task in tasks.items()
    }


async def load_prices(parts: Parts) -> None:
    """Read all prices into memory: the warm-up."""
    async with parts.sessions() as session:
        for price in await session.scalars(select(Price)):
            parts.prices[price.article] = price.cents


async def look(parts: Parts) -> Results:
    """Warm up, if that is still to be done, and run the checks."""
    if not parts.health.started:
        await load_prices(parts)
        # rule: started-first
        parts.health.started = True
    return await run_checks(parts)


async def watch(parts: Parts, looked: Event) -> None:
    """Look again and again, whatever is found."""
    while True:
        try:
            results = await look(parts)
        # rule: started-first
        except Exception as error:
            results = {"prices": error}
        for change in parts.health.note(results):
            # rule: pass-or-fail
            logger.warning(change)
        looked.set()
        # rule: cheap-probes
        await asyncio.sleep(CHECK_INTERVAL)


@get("/livez")
async def get_live() -> dict[str, str]:
    """Tell that this process answers."""
    # rule: live-alone
    return {"status": "live"}


@get("/startupz")
async def get_started(parts: Parts) -> Response[dict[str, Any]]:
    """Tell whether the warm-up is done."""
    return answer(parts.health.startup())


@get("/readyz")
async def get_ready(parts: Parts) -> Response[dict[str, Any]]:
    """Tell whether requests are welcome."""
    return answer(parts.health.readiness())


@get("/prices/{article:str}")
async def get_price(article: str, parts: Parts) -> dict[str, Any]:
    """Show a price, from memory."""
    # rule: started-first
    if not parts.health.started:
        raise ServiceUnavailableException
    cents = parts.prices.get(article)
    if cents is None:
        raise NotFoundException
    return {"article": article, "cents": cents}


def answer(verdict: Verdict) -> Response[dict[str, Any]]:
    """Answer with a verdict, which may be a problem document."""
    return Response(
        verdict.body,
        status_code=verdict.status,
        media_type=verdict.media_type,
    )


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    engine = create_engine(sync_url(DATABASE_URL))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        rows = list(seed_prices(SEED))
        if rows and not connection.scalar(select(func.count(Price.article))):
            connection.execute(insert(Price), rows)
    engine.dispose()


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Watch for the life of a worker; wait a little for the first look."""
    engine = create_async_engine(async_url(DATABASE_URL))
    async with httpx2.AsyncClient(timeout=CHECK_TIMEOUT) as client:
        parts, looked = Parts(async_sessionmaker(engine), client), Event()
        app.state.parts = parts
        watcher = asyncio.create_task(watch(parts, looked))
        with suppress(TimeoutError):
            await asyncio.wait_for(looked.wait(), CHECK_TIMEOUT)
        yield
        watcher.cancel()
    await engine.dispose()


def provide_parts(state: State) -> Parts:
    """Find what the lifespan keeps."""
    parts: Parts = state.parts
    return parts


def create_app() -> Litestar:
    """Wire the application; each worker watches for itself."""
    # Litestar logs at INFO, where httpx2 shows addresses with passwords.
    # rule: pass-or-fail
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    probes = Router(
        "/",
        route_handlers=[get_live, get_started, get_ready],
        # rule: never-cached
        cache_control=CacheControlHeader(no_store=True),
    )
    return Litestar(
        [probes, get_price],
        dependencies={"parts": Provide(provide_parts, sync_to_thread=False)},
        lifespan=[lifespan],
        plugins=[ProblemPlugin()],
        request_max_body_size=2**20,
    )
