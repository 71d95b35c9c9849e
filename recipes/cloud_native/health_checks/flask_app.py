"""Health checks in Flask: a daemon thread watches, a blueprint tells.

Idiom: what a thread needs of the application it takes from its context.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Event

import httpx2
from flask import Blueprint, Flask, Response, abort, current_app, jsonify
from flask.typing import ResponseReturnValue
from flask_sqlalchemy_lite import SQLAlchemy
from sqlalchemy import func, insert, select

from frameworks.flask.problems import register_problems
from shared.daemons import begin
from shared.database import sync_url
from shared.health import Health, Results, Verdict
from shared.price_seed import seed_prices
from shared.prices import Base, Price

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///prices.db")
SEED = int(os.environ.get("SEED", "0"))
RATES_URL = os.environ.get("RATES_URL", "")
CHECK_TIMEOUT = float(os.environ.get("CHECK_TIMEOUT_SECONDS", "2"))
CHECK_INTERVAL = float(os.environ.get("CHECK_INTERVAL_SECONDS", "5"))

db = SQLAlchemy()
probes = Blueprint("probes", __name__)
shop = Blueprint("shop", __name__)


def check_database() -> None:
    """Read a row: `SELECT 1` alone would never touch the file."""
    # rule: required-decides
    db.session.scalar(select(Price.article).limit(1))


def check_rates() -> None:
    """Ask for an answer; what it says is not read."""
    client: httpx2.Client = current_app.extensions["client"]
    with client.stream("GET", RATES_URL) as answer:
        # rule: good-answer
        answer.raise_for_status()


def list_checks() -> dict[str, Callable[[], None]]:
    """List what is checked."""
    checks = {"database": check_database, "rates": check_rates}
    return checks if RATES_URL else {"database": check_database}


def run_checks(app: Flask, under_way: dict[str, Future[None]]) -> Results:
    """Run the checks side by side; one that is late has failed."""
    for name, check in list_checks().items():
        # No thread can be stopped: one that hangs is the only one.
        if name not in under_way or under_way[name].done():
            under_way[name] = begin(run_within, app, check)
    _, late = wait(
        under_way.values(),
        # rule: time-limit
        timeout=CHECK_TIMEOUT,
    )
    return {
        name: TimeoutError() if check in late else check.exception()
        for name, check in under_way.items()
    }


def run_within(app: Flask, check: Callable[[], None]) -> None:
    """Run a check within the application, as a request would."""
    with app.app_context():
        check()


def load_prices(app: Flask) -> None:
    """Read all prices into memory: the warm-up."""
    with app.app_context():
        for price in db.session.scalars(select(Price)):
            app.extensions["prices"][price.article] = price.cents


def look(app: Flask, under_way: dict[str, Future[None]]) -> Results:
    """Warm up, if that is still to be done, and run the checks."""
    health: Health = app.extensions["health"]
    if not health.started:
        load_prices(app)
        # rule: started-first
        health.started = True
    return run_checks(app, under_way)


def watch(app: Flask, looked: Event) -> None:
    """Look again and again, whatever is found."""
    health: Health = app.extensions["health"]
    under_way: dict[str, Future[None]] = {}
    while True:
        try:
            results = look(app, under_way)
        # rule: started-first
        except Exception as error:
            results = {"prices": error}
        for change in health.note(results):
            # rule: pass-or-fail
            app.logger.warning(change)
        looked.set()
        # rule: cheap-probes
        time.sleep(CHECK_INTERVAL)


@probes.get("/livez")
def get_live() -> ResponseReturnValue:
    """Tell that this process answers."""
    # rule: live-alone
    return {"status": "live"}


@probes.get("/startupz")
def get_started() -> ResponseReturnValue:
    """Tell whether the warm-up is done."""
    health: Health = current_app.extensions["health"]
    return answer(health.startup())


@probes.get("/readyz")
def get_ready() -> ResponseReturnValue:
    """Tell whether requests are welcome."""
    health: Health = current_app.extensions["health"]
    return answer(health.readiness())


@probes.after_request
def forbid_caching(response: Response) -> Response:
    """Have every probe reach the process."""
    # rule: never-cached
    response.cache_control.no_store = True
    return response


@shop.get("/prices/<article>")
def get_price(article: str) -> ResponseReturnValue:
    """Show a price, from memory."""
    # rule: started-first
    if not current_app.extensions["health"].started:
        abort(503)
    cents = current_app.extensions["prices"].get(article)
    if cents is None:
        abort(404)
    return {"article": article, "cents": cents}


def answer(verdict: Verdict) -> Response:
    """Answer with a verdict, which may be a problem document."""
    response = jsonify(verdict.body)
    response.status_code = verdict.status
    response.content_type = verdict.media_type
    return response


def prepare() -> None:
    """Make the table and its seed, once, before any worker starts."""
    app = Flask(__name__)
    connect_database(app)
    with app.app_context(), db.engine.begin() as connection:
        Base.metadata.create_all(connection)
        rows = list(seed_prices(SEED))
        if rows and not connection.scalar(select(func.count(Price.article))):
            connection.execute(insert(Price), rows)


def connect_database(app: Flask) -> None:
    """Give the application its database."""
    app.config["SQLALCHEMY_ENGINES"] = {"default": sync_url(DATABASE_URL)}
    db.init_app(app)


def start_watching(app: Flask) -> None:
    """Watch in the background; most starts are over within the wait."""
    app.extensions["client"] = httpx2.Client(timeout=CHECK_TIMEOUT)
    app.extensions["prices"] = {}
    app.extensions["health"] = Health(
        CHECK_INTERVAL,
        CHECK_TIMEOUT,
        # rule: optional-degrades
        optional={"rates"},
    )
    looked = Event()
    begin(watch, app, looked)
    looked.wait(CHECK_TIMEOUT)


def create_app() -> Flask:
    """Wire the application; each worker watches for itself."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2**20
    connect_database(app)
    register_problems(app)
    app.register_blueprint(probes)
    app.register_blueprint(shop)
    start_watching(app)
    return app
