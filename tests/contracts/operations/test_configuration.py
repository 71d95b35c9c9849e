"""The contract of `configuration`: typed, checked, refused, followed."""

import hmac
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from cookbook.contract import Service, StartError, Subject, start, until

type Json = dict[str, Any]

DEADLINE = 20.0
"""For how many seconds a refusal may take."""

KEY = "k7Wq-0123456789-abcdefghij-ABCDEFGHIJ"
FEE = 490
DEFAULTS = {
    "open": True,
    "banner": "",
    "currency": "EUR",
    "countries": ["AT", "CH", "DE"],
    "items_max": 20,
    "free_from": "50.00",
}
NAMES = ("currency", "countries", "items_max", "free_from", "open", "banner")
WRONG = [
    # in the order of NAMES
    ("eur", "DE", "\u0662\u0660", "\u0665\u0660", "yes", "x" * 201),
    ("", '["DE"]\nx = 1', "", "1000001", "", "two\nlines"),
    ("CHF", "[]", "0", "-0.01", "False", "bell \x07"),
    ("EUR ", '["de"]', "1001", "nan", "1", "no text \udcff"),
    ('"EUR"', '["DE", 1]', "20.0", "1e99999999999999999999", "TRUE", "a\tb"),
    ("EUR\n", '["DE\\n"]', "true", "9.999", '"true"', "\x7f"),
]
WRONG_IN_FILE = [
    ("1", '"DE"', '"20"', '"50.00"', "1", "1"),
    ('""', "[]", "20.0", "true", '"true"', "true"),
    ('"eur"', '["DE", 1]', "true", "nan", "0", '"two\\nlines"'),
]
RIGHT = [
    (
        ("GBP", "['FR']", "1", "0", "false", "20"),
        ("GBP", ["FR"], 1, "0.00", False, "20"),
    ),
    (
        ("USD", '["NL", "BE"]', "1000", "1000000", "true", '"Größe" [true]'),
        ("USD", ["NL", "BE"], 1000, "1000000.00", True, '"Größe" [true]'),
    ),
]


class File:
    """The file of settings, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str | bytes) -> None:
        """Put another file in its place, at one stroke."""
        new = self.path.with_name(uuid4().hex)
        new.write_bytes(text if isinstance(text, bytes) else text.encode())
        new.replace(self.path)

    def remove(self) -> None:
        """Have no file."""
        self.path.unlink(missing_ok=True)


@contextmanager
def started(
    framework: Subject, knobs: Mapping[str, object], workers: int = 1
) -> Iterator[Service]:
    """Start what must start."""
    with ExitStack() as stack:
        try:
            service = stack.enter_context(
                start("configuration", framework, knobs, workers)
            )
        except StartError as error:
            raise AssertionError(f"it has not started: {error}") from None
        yield service


@pytest.fixture
def file(tmp_path: Path) -> File:
    """A file of settings for one test."""
    file = File(tmp_path / "settings.toml")
    file.write("")
    return file


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> File:
    """The file of the service that the tests share."""
    file = File(tmp_path_factory.mktemp("shop") / "settings.toml")
    file.write("")
    return file


@pytest.fixture(scope="module")
def service(framework: Subject, own: File) -> Iterator[Service]:
    """One service that follows a file."""
    knobs = {"SHOP_SETTINGS": own.path, "SHOP_SIGNING_KEY": KEY}
    with started(framework, knobs) as running:
        yield running


@pytest.fixture
def followed(own: File, service: Service) -> Iterator[File]:
    """The file that the service follows, empty again afterwards."""
    yield own
    own.write("")
    shown(service)


def variables(values: tuple[str, ...]) -> dict[str, str]:
    """Set every setting in the environment."""
    names = [f"SHOP_{name.upper()}" for name in NAMES]
    return dict(zip(names, values, strict=True))


def lines(values: tuple[str, ...]) -> str:
    """Set every setting in the file."""
    pairs = zip(NAMES, values, strict=True)
    return "".join(f"{name} = {value}\n" for name, value in pairs)


def refused(
    framework: Subject,
    knobs: Mapping[str, object],
    workers: int = 1,
    status: int | None = None,
) -> str:
    """Start what must not start, and give what it has said."""
    knobs = {"SHOP_SIGNING_KEY": KEY, **knobs}
    subject = replace(framework, start_deadline=DEADLINE)
    try:
        with start("configuration", subject, knobs, workers):
            pass
    except StartError as error:
        found = re.match(r"the server ended with status (-?\d+)", str(error))
        assert found, f"it did not end by itself: {str(error)[:2000]}"
        if status is None:
            assert 0 != int(found[1])
        else:
            assert status == int(found[1])
        return str(error)
    raise AssertionError("it has started")


def shown(service: Service) -> Json:
    """Ask what holds at the moment."""
    answer = service.request("GET", "/shop")
    assert 200 == answer.status_code, answer.text[:500]
    found: Json = answer.json()
    return found


def ask(
    service: Service, country: str = "DE", items: int = 1, goods: int = 4990
) -> httpx2.Response:
    """Ask what a delivery costs."""
    body = {"country": country, "items": items, "goods": goods}
    return service.request("POST", "/quotes", json=body)


def signature(key: str, quote: Json) -> str:
    """Sign a quote as the carrier would."""
    names = ("country", "items", "goods", "delivery", "currency")
    text = ":".join(str(quote[name]) for name in names)
    return hmac.new(key.encode(), text.encode(), "sha256").hexdigest()


def assert_signed(service: Service, key: str, country: str = "DE") -> None:
    """A quote is given, and signed with this key."""
    answer = ask(service, country)
    assert 200 == answer.status_code, answer.text[:500]
    quote = answer.json()
    assert signature(key, quote) == quote["signature"]


def problem_of(answer: httpx2.Response) -> tuple[int, str]:
    """Read which problem an answer is."""
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


# Types


@pytest.mark.rule("typed")
@pytest.mark.parametrize("values", WRONG, ids=range(len(WRONG)))
def test_what_is_not_of_its_type_is_refused(
    framework: Subject, values: tuple[str, ...]
) -> None:
    """No text is bent into a value; every wrong one is told."""
    said = refused(framework, variables(values))
    for name in NAMES:
        assert f"SHOP_{name.upper()}" in said


@pytest.mark.rule("typed")
@pytest.mark.parametrize("values", WRONG_IN_FILE, ids=range(3))
def test_what_is_not_of_its_type_is_refused_in_the_file(
    framework: Subject, file: File, values: tuple[str, ...]
) -> None:
    """TOML has types of its own, and they have to be the right ones."""
    file.write(lines(values))
    said = refused(framework, {"SHOP_SETTINGS": file.path})
    for name in NAMES:
        assert name in said


@pytest.mark.rule("typed")
@pytest.mark.parametrize(("values", "expected"), RIGHT, ids=range(2))
def test_a_value_is_what_it_is_spelled_as(
    framework: Subject, values: tuple[str, ...], expected: tuple[object, ...]
) -> None:
    """A number, a switch, a list; and a text is never any of them."""
    knobs = {"SHOP_SIGNING_KEY": KEY, **variables(values)}
    with started(framework, knobs) as service:
        assert dict(zip(NAMES, expected, strict=True)) == shown(service)


@pytest.mark.rule("typed")
def test_the_file_has_the_same_types(framework: Subject, file: File) -> None:
    """What the file says is what the shop does."""
    file.write(
        'currency = "GBP"\ncountries = ["FR"]\nitems_max = 3\n'
        'free_from = 20.5\nopen = true\nbanner = "Sale"\n'
    )
    knobs = {"SHOP_SIGNING_KEY": KEY, "SHOP_SETTINGS": file.path}
    with started(framework, knobs) as service:
        assert {
            "open": True,
            "banner": "Sale",
            "currency": "GBP",
            "countries": ["FR"],
            "items_max": 3,
            "free_from": "20.50",
        } == shown(service)
        quotes = [ask(service, "FR", 3, goods) for goods in (2049, 2050)]
        assert [FEE, 0] == [quote.json()["delivery"] for quote in quotes]
        assert ["GBP"] * 2 == [quote.json()["currency"] for quote in quotes]
        assert (422, "too-many-items") == problem_of(ask(service, "FR", 4))
        assert (422, "country-not-served") == problem_of(ask(service, "DE"))


# Where they come from


@pytest.mark.rule("precedence")
def test_the_environment_goes_over_the_file(
    framework: Subject, file: File
) -> None:
    """Setting by setting: environment, file, default; after a reload too."""
    file.write('currency = "USD"\nitems_max = 7\nbanner = "file"\nopen = true')
    knobs = {
        "SHOP_SETTINGS": file.path,
        "SHOP_SIGNING_KEY": KEY,
        "SHOP_CURRENCY": "GBP",
        "SHOP_BANNER": "",
        "SHOP_OPEN": "false",
    }
    with started(framework, knobs) as service:
        expected = DEFAULTS | {
            "currency": "GBP",
            "items_max": 7,
            "open": False,
        }
        assert expected == shown(service)
        assert (409, "shop-closed") == problem_of(ask(service))
        file.write('items_max = 7\nbanner = "x"\nopen = true\nfree_from = 1')
        assert expected | {"free_from": "1.00"} == shown(service)


@pytest.mark.rule("precedence")
def test_without_any_the_defaults_hold(
    service: Service, followed: File
) -> None:
    """An empty file sets nothing."""
    assert DEFAULTS == shown(service)
    quotes = [ask(service, goods=goods).json() for goods in (4999, 5000)]
    assert [FEE, 0] == [quote["delivery"] for quote in quotes]


@pytest.mark.rule("no-typos")
def test_a_name_that_is_no_setting_is_refused(
    framework: Subject, file: File
) -> None:
    """Every one of them is told; a secret is none of the file's either."""
    file.write(
        'curency = "USD"\nBanner = "x"\nsigning_key = "hunter2-hunter2"\n'
        'shop_signing_key = "hunter2-hunter3"\n[shop]\nopen = false\n'
    )
    said = refused(framework, {"SHOP_SETTINGS": file.path})
    for name in ("curency", "Banner", "signing_key", "shop_signing_key"):
        assert re.search(rf"\b{name}\b", said), said
    assert re.search(r"\bshop\b", said.replace("shop.E001", ""))
    assert "hunter2" not in said


@pytest.mark.rule("no-typos")
def test_what_others_put_into_the_environment_is_left_alone(
    framework: Subject,
) -> None:
    """An orchestrator sets variables that begin like the shop's."""
    knobs = {
        "SHOP_SIGNING_KEY": KEY,
        "SHOP_PORT": "tcp://10.0.0.7:80",
        "SHOP_SERVICE_HOST": "10.0.0.7",
        "SHOP_CURENCY": "USD",
    }
    with started(framework, knobs) as service:
        assert DEFAULTS == shown(service)


# Refusal


@pytest.mark.rule("all-at-once")
def test_all_that_is_wrong_is_told_at_once(
    framework: Subject, file: File
) -> None:
    """Environment, file and secret: one attempt shows it all."""
    file.write('curency = "USD"\nopen = "no"\nfree_from = -1\nitems_max = 0')
    knobs = {
        "SHOP_SETTINGS": file.path,
        "SHOP_COUNTRIES": "DE, FR",
        "SHOP_ITEMS_MAX": "many",
        "SHOP_SIGNING_KEY": None,
    }
    said = refused(framework, knobs)
    for name in ("curency", "open", "free_from"):
        assert re.search(rf"\b{name}\b", said), said
    for name in ("SHOP_COUNTRIES", "SHOP_ITEMS_MAX", "SHOP_SIGNING_KEY"):
        assert name in said


@pytest.mark.rule("all-at-once")
def test_a_file_that_cannot_be_read_hides_nothing_else(
    framework: Subject, file: File
) -> None:
    """What can be checked without it is checked, and told."""
    file.write("open = = true")
    knobs = {
        "SHOP_SETTINGS": file.path,
        "SHOP_OPEN": "maybe",
        "SHOP_CURRENCY": "DM",
        "SHOP_SIGNING_KEY": "short",
    }
    said = refused(framework, knobs)
    for name in ("SHOP_SETTINGS", *knobs):
        assert name in said


@pytest.mark.rule("refuse-to-start")
def test_a_refusal_is_told_without_a_stack_trace(framework: Subject) -> None:
    """It is no failure of the program: operators read it."""
    said = refused(framework, {"SHOP_ITEMS_MAX": "many"})
    assert "SHOP_ITEMS_MAX" in said
    assert "Traceback" not in said


@pytest.mark.rule("refuse-to-start")
def test_several_workers_are_not_started_again_and_again(
    framework: Subject, service: Service
) -> None:
    """Where one cannot start no other can; the whole server ends."""
    zero = service.differs("refused-with-zero")
    knobs = {"SHOP_ITEMS_MAX": "many"}
    said = refused(framework, knobs, 2, 0 if zero else None)
    assert "SHOP_ITEMS_MAX" in said


@pytest.mark.rule("refuse-to-start")
@pytest.mark.parametrize(
    "content",
    [
        None,
        b"\xff\xfe",
        b"open",
        b"a=" + b"[" * 50_000,
    ],
    ids=["no file", "no text", "no TOML", "deep"],
)
def test_a_file_that_is_named_has_to_be_right(
    framework: Subject, file: File, content: bytes | None
) -> None:
    """No file where one is named is a mistake, and not an empty one."""
    file.remove() if content is None else file.write(content)
    said = refused(framework, {"SHOP_SETTINGS": file.path})
    assert "SHOP_SETTINGS" in said
    assert "Traceback" not in said


# Secrets


@pytest.mark.rule("secret-required")
@pytest.mark.parametrize("key", [None, "", "x" * 31], ids=repr)
def test_a_secret_has_to_be_there(framework: Subject, key: str | None) -> None:
    """Missing, empty or short, it is refused by its name."""
    said = refused(framework, {"SHOP_SIGNING_KEY": key})
    assert "SHOP_SIGNING_KEY" in said
    assert "Traceback" not in said


@pytest.mark.rule("secret-required")
def test_a_secret_is_used_as_it_is(framework: Subject) -> None:
    """What looks like a number is text all the same; 32 will do."""
    key = "1" * 32
    with started(framework, {"SHOP_SIGNING_KEY": key}) as service:
        assert_signed(service, key)


@pytest.mark.rule("secret-from-file")
@pytest.mark.parametrize(
    ("end", "beside"),
    [(" \n", None), ("\r\n", "")],
    ids=["newline", "return and newline"],
)
def test_a_secret_may_lie_in_a_file(
    framework: Subject, tmp_path: Path, end: str, beside: str | None
) -> None:
    """The newline that editors add is no part of it; all else is."""
    path = tmp_path / "key"
    path.write_bytes(f" {KEY}{end}".encode())
    knobs = {"SHOP_SIGNING_KEY": beside, "SHOP_SIGNING_KEY_FILE": path}
    with started(framework, knobs) as service:
        assert_signed(service, f" {KEY}{end.removesuffix('\n').rstrip('\r')}")


@pytest.mark.rule("secret-from-file")
@pytest.mark.parametrize(
    "content",
    [None, b"\n", b"x" * 31 + b"\n", b"\xff" * 40, b"x" * 40 + b"\ny"],
    ids=["no file", "newline", "short", "no text", "two lines"],
)
def test_a_file_without_a_secret_is_refused(
    framework: Subject, tmp_path: Path, content: bytes | None
) -> None:
    """What cannot be read, or is no secret, is told by its name."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    knobs = {"SHOP_SIGNING_KEY": None, "SHOP_SIGNING_KEY_FILE": path}
    said = refused(framework, knobs)
    assert "SHOP_SIGNING_KEY" in said
    assert "Traceback" not in said


@pytest.mark.rule("secret-from-file")
def test_a_secret_given_twice_is_refused(
    framework: Subject, tmp_path: Path
) -> None:
    """Nobody can say which of the two is meant."""
    (tmp_path / "key").write_text(KEY)
    knobs = {
        "SHOP_SIGNING_KEY": KEY,
        "SHOP_SIGNING_KEY_FILE": tmp_path / "key",
    }
    said = refused(framework, knobs)
    assert "SHOP_SIGNING_KEY_FILE" in said


@pytest.mark.rule("secrets-unseen")
def test_a_secret_is_neither_in_the_log_nor_in_an_answer(
    service: Service, followed: File
) -> None:
    """Whatever is asked, and whatever happens to the settings."""
    answers = [service.request("GET", "/shop"), ask(service)]
    for text in ('banner = "new"', "broken =", "items_max = 0"):
        followed.write(text)
        answers.append(service.request("GET", "/shop"))
    answers += [
        ask(service, "XX"),
        ask(service, items=0),
        ask(service, goods=-1),
        service.request("POST", "/quotes", content=b"{"),
        service.request("GET", f"/{uuid4().hex}"),
    ]
    assert_signed(service, KEY)
    told = [f"{answer.text} {[*answer.headers.items()]}" for answer in answers]
    for text in (*told, service.log()):
        assert KEY not in text
        assert KEY[5:25] not in text


@pytest.mark.rule("secrets-unseen")
@pytest.mark.parametrize(
    "knobs",
    [
        {"SHOP_SIGNING_KEY": "hunter2-short"},
        {"SHOP_SIGNING_KEY": "hunter2-\x07" + "x" * 32},
        {"SHOP_SIGNING_KEY": None, "SHOP_SIGNING_KEY_FILE": "hunter2-" * 5},
    ],
    ids=["short", "unprintable", "in the place of its file"],
)
def test_a_wrong_secret_is_not_shown_either(
    framework: Subject, knobs: Mapping[str, object]
) -> None:
    """It may be the right one of somebody else, or nearly right."""
    said = refused(framework, {"SHOP_ITEMS_MAX": "many", **knobs})
    assert "SHOP_SIGNING_KEY" in said
    assert "hunter2" not in said


# While it runs


@pytest.mark.rule("read-once")
def test_what_is_fixed_changes_by_a_restart(
    framework: Subject, file: File, tmp_path: Path
) -> None:
    """Another file, another key: both wait for the restart."""
    key = tmp_path / "key"
    key.write_text(KEY)
    file.write('currency = "EUR"')
    knobs = {
        "SHOP_SETTINGS": file.path,
        "SHOP_SIGNING_KEY": None,
        "SHOP_SIGNING_KEY_FILE": key,
    }
    with started(framework, knobs) as service:
        assert DEFAULTS == shown(service)
        key.write_text(KEY[::-1])
        fixed = {"currency": "USD", "countries": ["FR"], "items_max": 2}
        file.write(
            'currency = "USD"\ncountries = ["FR"]\nitems_max = 2\nbanner = "b"'
        )
        assert DEFAULTS | {"banner": "b"} == shown(service)
        assert_signed(service, KEY)
        assert 200 == ask(service, items=3).status_code
        service.restart()
        assert DEFAULTS | fixed | {"banner": "b"} == shown(service)
        assert_signed(service, KEY[::-1], "FR")


@pytest.mark.rule("reload")
def test_what_may_change_follows_the_file(
    service: Service, followed: File
) -> None:
    """From the next request on, and back to the default without it."""
    followed.write('open = false\nbanner = "Back soon"\nfree_from = 10')
    expected = {"open": False, "banner": "Back soon", "free_from": "10.00"}
    assert DEFAULTS | expected == shown(service)
    assert (409, "shop-closed") == problem_of(ask(service))
    followed.write("free_from = 10")
    assert DEFAULTS | {"free_from": "10.00"} == shown(service)
    assert [FEE, 0] == [
        ask(service, goods=g).json()["delivery"] for g in (999, 1000)
    ]
    followed.write("")
    assert DEFAULTS == shown(service)


@pytest.mark.rule("reload")
def test_an_older_file_is_followed_too(
    service: Service, followed: File
) -> None:
    """Whoever rolls back puts an older file there, of the same size."""
    for day, banner in enumerate(["now", "old", "odd"]):
        new = followed.path.with_name(uuid4().hex)
        new.write_text(f'banner = "{banner}"')
        os.utime(new, (1e9 - day // 2, 1e9 - day // 2))
        new.replace(followed.path)
        assert banner == shown(service)["banner"]


@pytest.mark.rule("reload")
def test_every_worker_follows_a_link(
    framework: Subject, tmp_path: Path
) -> None:
    """A folder is swapped by its link, as orchestrators do it."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        text = f'banner = "{version}"'
        (tmp_path / version / "settings.toml").write_text(text)
    link = tmp_path / "data"
    link.symlink_to("one")
    (tmp_path / "settings.toml").symlink_to("data/settings.toml")
    knobs = {
        "SHOP_SETTINGS": tmp_path / "settings.toml",
        "SHOP_SIGNING_KEY": KEY,
    }
    with started(framework, knobs, 2) as service:
        answers = service.ask_every_worker(2, "GET", "/shop")
        assert ["one"] * 2 == [a.json()["banner"] for a in answers]
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").replace(link)
        answers = service.ask_every_worker(2, "GET", "/shop")
        assert ["two"] * 2 == [a.json()["banner"] for a in answers]


@pytest.mark.rule("broken-keeps-old")
@pytest.mark.parametrize(
    "broken",
    [
        "{mark} =",
        'banner = "new"\n{mark} = 1',
        'open = false\nbanner = "{mark}\\n"',
        'banner = "{mark}"\ncurrency = "DM"',
        'banner = "{mark}"\nfree_from = 1\nitems_max = 0',
        "{mark} = " + "[" * 50_000,
        "free_from = 1e99999999999999999999",
        None,
    ],
    ids=["TOML", "typo", "type", "fixed", "bounds", "deep", "huge", "gone"],
)
def test_a_broken_file_changes_nothing(
    service: Service, followed: File, broken: str | None
) -> None:
    """The old settings hold as a whole, until a right file comes."""
    followed.write('banner = "old"\nfree_from = 2')
    before = shown(service)
    assert "old" == before["banner"]
    if broken is None:
        followed.remove()
    else:
        followed.write(broken.replace("{mark}", f"m{uuid4().hex}"))
    for _ in range(3):
        assert before == shown(service)
        assert_signed(service, KEY)
    followed.write('banner = "mended"')
    assert "mended" == shown(service)["banner"]


@pytest.mark.rule("broken-keeps-old")
def test_the_log_tells_of_a_broken_file_once(
    service: Service, followed: File
) -> None:
    """By the name of what is wrong, and not at every request."""
    mark = f"m{uuid4().hex}"
    followed.write(f'{mark} = 1\ncurrency = "DM"')
    for _ in range(5):
        assert DEFAULTS == shown(service)
    until(lambda: mark in service.log(), "the log does not tell of it")
    followed.write("")
    followed.write(f"end_{mark} = 1")
    shown(service)
    until(lambda: f"end_{mark}" in service.log(), "the log ends too soon")
    assert 1 == len(re.findall(rf"\b{mark}\b", service.log()))
    assert "currency" in service.log()
