"""Sessions in Flask: a session interface over a table, CSRF by Flask-WTF.

Idiom: the interface opens and saves; views read and write `session`.
"""

import os
from typing import Any

from flask import Blueprint, Flask, Request, abort, request, session
from flask.sessions import SessionInterface, SessionMixin
from flask.typing import ResponseReturnValue
from flask_sqlalchemy_lite import SQLAlchemy
from flask_wtf import csrf  # type: ignore[import-untyped]  # no types
from marshmallow import Schema, ValidationError, fields
from marshmallow.validate import Length, Regexp
from sqlalchemy import Executable, Row
from sqlalchemy.exc import IntegrityError
from werkzeug.datastructures import CallbackDict, WWWAuthenticate
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.wrappers import Response

from frameworks.flask.problems import answer_http_error, register_problems
from shared import accounts as tables
from shared.accounts import Fresh, make_token, session_key
from shared.credentials import EMAIL, LENGTH_MAX, LENGTH_MIN
from shared.database import sync_url
from shared.passwords import Passwords

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite:///accounts.db")
SECRET_KEY = os.environ["SECRET_KEY"]
SESSION_IDLE_SECONDS = int(os.environ.get("SESSION_IDLE_SECONDS", "1800"))
SESSION_ABSOLUTE_SECONDS = int(
    os.environ.get("SESSION_ABSOLUTE_SECONDS", "43200")
)
ARGON2_TIME_COST = int(os.environ.get("ARGON2_TIME_COST", "2"))
ARGON2_MEMORY_KIB = int(os.environ.get("ARGON2_MEMORY_KIB", "19456"))
LIFETIME = tables.Lifetime(SESSION_IDLE_SECONDS, SESSION_ABSOLUTE_SECONDS)
PASSWORDS = Passwords(ARGON2_TIME_COST, ARGON2_MEMORY_KIB)

db = SQLAlchemy()
accounts = Blueprint("accounts", __name__)


class Credentials(Schema):
    """Who logs in, as a client says."""

    email = fields.String(required=True, validate=Regexp(EMAIL))
    password = fields.String(required=True, validate=Length(1, LENGTH_MAX))


class SignUp(Credentials):
    """A new account, as a client sends it."""

    password = fields.String(
        required=True, validate=Length(LENGTH_MIN, LENGTH_MAX)
    )


class PasswordChange(Schema):
    """The password that was, and the one that shall be."""

    current = fields.String(required=True, validate=Length(1, LENGTH_MAX))
    new = fields.String(required=True, validate=Length(LENGTH_MIN, LENGTH_MAX))


class ServerSession(CallbackDict[str, Any], SessionMixin):
    """What a session remembers, under an id that is made here."""

    modified = False

    def __init__(self, row: Row[Any] | None, session_id: str) -> None:
        super().__init__(
            row.data if row else {}, lambda _: setattr(self, "modified", True)
        )
        self.id, self.new = session_id, row is None

    @property
    def key(self) -> str:
        """What its row is found by."""
        return session_key(SECRET_KEY, self.id)


class TableInterface(SessionInterface):
    """Sessions in a table; a row that has gone is not made again."""

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        """Open the session of the cookie, or one that is not kept yet."""
        session_id = request.cookies.get(self.get_cookie_name(app), "")
        key = session_key(SECRET_KEY, session_id)
        row = run(tables.open_session(key, LIFETIME))
        if row is None:
            # rule: client-id-refused
            session_id = make_token()
        return ServerSession(row, session_id)

    def save_session(
        self, app: Flask, session: SessionMixin, response: Response
    ) -> None:
        """Begin, write or end a session that a view has changed."""
        assert isinstance(session, ServerSession)
        # rule: cookie-flags
        response.headers["Cache-Control"] = "no-store"
        name, secure = self.get_cookie_name(app), self.get_cookie_secure(app)
        if session.modified and not session:
            # rule: logout-revokes
            run(tables.end_session(session.key))
            # rule: cookie-flags
            response.delete_cookie(name, secure=secure)
        elif session.modified and write(session):
            response.set_cookie(
                name,
                session.id,
                secure=secure,
                httponly=self.get_cookie_httponly(app),
                samesite=self.get_cookie_samesite(app),
            )


def write(session: ServerSession) -> bool:
    """Keep a new session; write another into a row that is still there."""
    data = dict(session)
    if session.new:
        fresh = Fresh(session.id, session.key, data)
        owner = data.get("account_id"), data.get("epoch")
        add = tables.add_session(fresh, *owner)
        run(tables.sweep_sessions(LIFETIME), add)
        return True
    # rule: logout-revokes
    return run(tables.save_session(session.key, data)) is not None


def run(*statements: Executable) -> Row[Any] | None:
    """Run statements in one transaction; give what the last one found."""
    with db.engine.begin() as connection:
        *_, last = [connection.execute(each) for each in statements]
        return last.one_or_none() if last.returns_rows else None


def unauthorized() -> Unauthorized:
    """Ask for a login; the scheme is named after the cookie."""
    challenge = WWWAuthenticate("cookie", {"realm": "accounts"})
    return Unauthorized(www_authenticate=challenge)


def current_account() -> Row[Any]:
    """Get the account that the session is of."""
    assert isinstance(session, ServerSession)
    account = run(tables.get_account(session.key))
    if account is None:
        raise unauthorized()
    return account


@accounts.get("/csrf")
def show_token() -> ResponseReturnValue:
    """Give the token of the session, which begins where there is none."""
    return {"csrf_token": csrf.generate_csrf()}


@accounts.post("/users")
def sign_up() -> ResponseReturnValue:
    """Add an account."""
    given = SignUp().load(request.get_json())
    password_hash = PASSWORDS.hash(given["password"])
    try:
        run(tables.add_account(given["email"], password_hash))
    except IntegrityError:
        abort(409)
    return {"email": given["email"].lower()}


@accounts.post("/login")
def log_in() -> ResponseReturnValue:
    """Begin a session of an account."""
    given = Credentials().load(request.get_json())
    account = run(tables.find_account(given["email"]))
    kept = account.password_hash if account else None
    if not PASSWORDS.check(kept, given["password"]) or account is None:
        raise unauthorized()
    assert isinstance(session, ServerSession)
    # rule: rotated-at-login
    run(tables.end_session(session.key))
    # rule: rotated-at-login
    session.id = make_token()
    session.new = True
    # rule: csrf
    session.clear()
    session.update(account_id=account.id, epoch=account.epoch)
    return "", 204


@accounts.get("/me")
def show_me() -> ResponseReturnValue:
    """Show who is logged in."""
    return {"email": current_account().email}


@accounts.post("/logout")
def log_out() -> ResponseReturnValue:
    """End this session."""
    current_account()
    session.clear()
    return "", 204


@accounts.post("/logout-everywhere")
def log_out_everywhere() -> ResponseReturnValue:
    """End all sessions of the account."""
    run(tables.begin_epoch(current_account().id))
    session.clear()
    return "", 204


@accounts.post("/password")
def change_password() -> ResponseReturnValue:
    """Keep another password, and no other session of the account."""
    assert isinstance(session, ServerSession)
    account = current_account()
    given = PasswordChange().load(request.get_json())
    if not PASSWORDS.check(account.password_hash, given["current"]):
        raise ValidationError({"current": ["Not the password."]})
    password_hash = PASSWORDS.hash(given["new"])
    fresh = tables.fresh_session(SECRET_KEY)
    with db.engine.begin() as connection:
        epoch = connection.scalar(
            tables.replace_password(account.id, account.epoch, password_hash)
        )
        move = tables.move_session(account.session_key, fresh, epoch)
        # rule: logout-revokes
        if epoch is None or connection.scalar(move) is None:
            raise unauthorized()
    # rule: password-change
    session.id = fresh.id
    session.clear()
    session.update(account_id=account.id, epoch=epoch)
    return "", 204


def refuse(_error: csrf.CSRFError) -> Response:
    """Say 403 where Flask-WTF says 400."""
    return answer_http_error(Forbidden())


def prepare() -> None:
    """Make the tables, once, before any worker starts."""
    with create_app().app_context(), db.engine.begin() as connection:
        tables.Base.metadata.create_all(connection)


def create_app() -> Flask:
    """Wire the application."""
    app = Flask(__name__)
    app.config.from_mapping(
        MAX_CONTENT_LENGTH=2**20,
        SECRET_KEY=SECRET_KEY,
        SESSION_COOKIE_NAME="__Host-session",
        # rule: cookie-flags
        SESSION_COOKIE_SECURE=True,
        # rule: cookie-flags
        SESSION_COOKIE_SAMESITE="Lax",
        SQLALCHEMY_ENGINES={"default": sync_url(DATABASE_URL)},
        # A token lasts as long as its session.
        WTF_CSRF_TIME_LIMIT=None,
    )
    db.init_app(app)
    register_problems(app)
    # rule: shared-store
    app.session_interface = TableInterface()
    # rule: csrf
    csrf.CSRFProtect(app)
    # rule: csrf
    app.register_error_handler(csrf.CSRFError, refuse)
    app.register_blueprint(accounts)
    return app
