"""Health checks in aiohttp: a cleanup context watches, handlers tell.

Idiom: what lives as long as the application is yielded by `cleanup_ctx`.
"""

import asyncio
import logging
import os
from asyncio import Event, Task
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, ClientTimeout, web
from sqlalchemy import create_engine, func, insert, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from frameworks.aiohttp.problems import answer_problems
from shared.database import async_url, sync_url
from shared.health import Health, Results, Verdict
from shared.price_seed import seed_prices
from shared.prices import Base, Price

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///prices.db")
SEED = int(os.environ.get("SEED", "0"))
RATES_URL = os.environ.get("RATES_URL", "")
CHECK_TIMEOUT = float(os.environ.get("CHECK_TIMEOUT_SECONDS", "2"))
CHECK_INTERVAL = float(os.environ.get("CHECK_INTERVAL_SECONDS", "5"))

routes = web.RouteTableDef()
logger = logging.getLogger(__name__)

type Check = Callable[[Parts], Coroutine[Any, Any, None]]


@dataclass
class Parts:
    """What one process depends on, and what it knows of that."""

    sessions: async_sessionmaker[AsyncSession]
    client: ClientSession
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
    async with parts.client.get(
        RATES_URL,
        # rule: good-answer
        allow_redirects=False,
    ) as answer:
        # `raise_for_status` takes a redirect for a success.
        # rule: good-answer
        if not 200 <= answer.status < 300:
            raise web.HTTPBadGateway


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


PARTS = web.AppKey("PARTS", Parts)


@routes.get("/livez")
async def get_live(request: web.Request) -> web.Response:
    """Tell that this process answers."""
    # rule: live-alone
    return answer(Verdict(200, {"status": "live"}))


@routes.get("/startupz")
async def get_started(request: web.Request) -> web.Response:
    """Tell whether the warm-up is done."""
    return answer(request.app[PARTS].health.startup())


@routes.get("/readyz")
async def get_ready(request: web.Request) -> web.Response:
    """Tell whether requests are welcome."""
    return answer(request.app[PARTS].health.readiness())


@routes.get("/prices/{article}")
async def get_price(request: web.Request) -> web.Response:
    """Show a price, from memory."""
    parts = request.app[PARTS]
    # rule: started-first
    if not parts.health.started:
        raise web.HTTPServiceUnavailable
    article = request.match_info["article"]
    cents = parts.prices.get(article)
    if cents is None:
        raise web.HTTPNotFound
    return web.json_response({"article": article, "cents": cents})


def answer(verdict: Verdict) -> web.Response:
    """Answer with a verdict, which may be a problem document."""
    return web.json_response(
        verdict.body,
        status=verdict.status,
        content_type=verdict.media_type,
        # rule: never-cached
        headers={"Cache-Control": "no-store"},
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


async def keep_watching(app: web.Application) -> AsyncIterator[None]:
    """Watch for the life of a worker; wait a little for the first look."""
    engine = create_async_engine(async_url(DATABASE_URL))
    limit = ClientTimeout(
        # rule: time-limit
        total=CHECK_TIMEOUT,
    )
    async with ClientSession(timeout=limit) as client:
        parts, looked = Parts(async_sessionmaker(engine), client), Event()
        app[PARTS] = parts
        watcher = asyncio.create_task(watch(parts, looked))
        with suppress(TimeoutError):
            await asyncio.wait_for(looked.wait(), CHECK_TIMEOUT)
        yield
        watcher.cancel()
    await engine.dispose()


def create_app(_argv: list[str] | None = None) -> web.Application:
    """Wire the application; each worker watches for itself."""
    # The runner logs at DEBUG, where aiosqlite shows every statement.
    logging.getLogger("aiosqlite").setLevel(logging.INFO)
    app = web.Application(middlewares=[answer_problems])
    app.cleanup_ctx.append(keep_watching)
    app.add_routes(routes)
    return app
