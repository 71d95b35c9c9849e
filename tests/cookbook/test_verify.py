import json
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from cookbook import verifying
from cookbook.book import Book
from cookbook.contract import Subject
from cookbook.names import WrongUse

type Ask = Callable[..., tuple[int, str, str]]
type Writer = Callable[..., Book]

ROOT = Path(__file__).parents[2]
RUDE = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        {first}
        query = parse_qs(urlsplit(self.path).query)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"Hello, " + query.get("name", ["you"])[0].encode())

    def log_message(self, *_):
        pass

print("rude", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
PITFALL = """
[[pitfalls]]
id = "small-letters"
rule = "polite"
title = "Names are small"
story = "Nobody saw it."
[[pitfalls.edits]]
framework = "http"
file = "recipes/first/greet/http_app.py"
find = "name.title()"
replace = "name"
"""


@contextmanager
def serving(do_get: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve in a thread; give the address."""
    members = {"do_GET": do_get, "log_message": lambda *_: None}
    handler = type("Handler", (BaseHTTPRequestHandler,), members)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def rude(tmp_path: Path) -> Callable[[str], str]:
    """Write a service that breaks two rules; give its command."""

    def write(first: str = "pass") -> str:
        file = tmp_path / "rude.py"
        file.write_text(RUDE.replace("{first}", first))
        return f"{sys.executable} {file} {{port}}"

    return write


def test_node_keeps_every_rule(ask: Ask, real_book: Book) -> None:
    """A service in Node keeps the whole contract, every rule checked."""
    if shutil.which("node") is None:
        if os.environ.get("CI"):
            pytest.fail("Node is not on this machine.")
        pytest.skip("not checked: Node is not on this machine")
    command = (
        f"node {ROOT / 'tests/node/pagination_server.mjs'} --port {{port}}"
    )
    code, answer, _ = ask(
        real_book, "verify", "pagination", "--command", command, "--json"
    )
    (report,) = json.loads(answer)
    rules = [rule.id for rule in real_book.recipe("pagination").rules]
    expected = dict.fromkeys([*rules, "manners"], "kept")
    assert expected == {r["rule"]: r["verdict"] for r in report["rules"]}
    left = [
        test
        for rule in report["rules"]
        for test, verdict in rule["tests"].items()
        if verdict != "passed"
    ]
    assert (0, []) == (code, left)


def test_what_is_broken_is_shown(
    ask: Ask, served_book: Writer, rude: Callable[[str], str]
) -> None:
    """The sentence, the exchange and the pitfall are in the report."""
    book = served_book({"recipes/first/greet/pitfalls.toml": PITFALL})
    code, answer, errors = ask(
        book, "verify", "greet", "--command", rude("pass")
    )
    lines = answer.splitlines()
    assert (1, "") == (code, errors)
    start = lines.index("broken      polite")
    assert [
        "A greeting has a name in it.",
        "test_a_name_is_in_it",
        "assert 'Hello, Ann' == 'Hello, ann'",
    ] == [line.strip() for line in lines[start + 1 : start + 4]]
    shown = [line.strip() for line in lines]
    for expected in (
        "> GET /hello?name=ann",
        "< 200 OK",
        "< Hello, ann",
        "It looks like: Names are small (small-letters).",
        "2 of 4 rules kept, 2 broken.",
    ):
        assert expected in shown, answer
    assert "kept        prompt            1 test" in lines


@pytest.mark.parametrize("width", [80, 100])
def test_lines_fit(
    ask: Ask, served_book: Writer, rude: Callable[[str], str], width: int
) -> None:
    """No line of a report is wider than the terminal."""
    command = rude("pass")
    words = ("verify", "greet", "--command", command)
    _, answer, _ = ask(served_book(), *words, width=width)
    assert [] == [line for line in answer.splitlines() if len(line) > width]


def test_json(
    ask: Ask, served_book: Writer, rude: Callable[[str], str]
) -> None:
    """As JSON each rule has its verdict, tests and failures."""
    book = served_book({"recipes/first/greet/pitfalls.toml": PITFALL})
    words = ("verify", "greet", "--command", rude("pass"), "--json")
    code, answer, _ = ask(book, *words)
    (report,) = json.loads(answer)
    assert (1, "greet", None) == (code, report["recipe"], report["gave_up"])
    polite, brief, prompt, manners = report["rules"]
    assert "polite" == polite["rule"]
    assert {"test_a_name_is_in_it": "failed"} == polite["tests"]
    assert ["small-letters"] == polite["looks_like"]
    (failure,) = polite["failures"]
    assert failure["assertion"]
    assert failure["exchange"].startswith("> GET /hello?name=ann\n< 200 OK")
    assert ["broken", "kept", "kept"] == [
        rule["verdict"] for rule in (brief, prompt, manners)
    ]


def test_own_services_are_recorded(ask: Ask, served_book: Writer) -> None:
    """The book's own services are judged when nothing else is said."""
    book = served_book()
    code, answer, _ = ask(book, "verify", "greet")
    assert (0, "4 of 4 rules kept.") == (code, answer.splitlines()[-3])
    _, cells, _ = ask(book, "matrix", "--json")
    assert "passed" == json.loads(cells)[0]["state"]


def test_one_rule(ask: Ask, served_book: Writer) -> None:
    """Only the rule that was asked for is judged."""
    words = ("verify", "greet", "--rule", "polite", "--json")
    code, answer, _ = ask(served_book(), *words)
    (report,) = json.loads(answer)
    assert (0, ["polite"]) == (code, [r["rule"] for r in report["rules"]])


def test_a_url(ask: Ask, served_book: Writer) -> None:
    """A service that runs already is judged by its address."""

    def greet(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(b"Hello, Ann")

    with serving(greet) as url:
        code, answer, _ = ask(served_book(), "verify", "greet", "--url", url)
    assert (0, "4 of 4 rules kept.") == (code, answer.splitlines()[-2])


def test_what_was_not_checked_is_named(
    ask: Ask, served_book: Writer, rude: Callable[[str], str]
) -> None:
    """A test that needs the process is no rule kept."""
    tests = (
        "import pytest\nfrom cookbook.contract import start\n"
        "@pytest.mark.rule('polite')\n"
        "def test_two(framework):\n"
        "    with start('greet', framework, workers=2): pass\n"
    )
    book = served_book({"tests/contracts/first/test_greet.py": tests})
    with serving(lambda request: request.send_error(404)) as url:
        words = ("verify", "greet", "--url", url, "--rule", "polite")
        code, answer, _ = ask(book, *words)
    assert 1 == code
    shown = [line.strip() for line in answer.splitlines()]
    assert "not checked polite" in shown
    assert ["Not checked here, of 1 test:", "test_two"] == shown[4:6]
    assert "0 of 1 rules kept, 1 not checked." in shown


def test_nothing_listens(ask: Ask, served_book: Writer) -> None:
    """An address where nobody is takes one sentence."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        answer = ask(served_book(), "verify", "greet", "--url", url)
    expected = f"Nothing listens at {url}: Connection refused.\n"
    assert (2, "", expected) == answer


def test_rubbish(ask: Ask, served_book: Writer) -> None:
    """What does not speak HTTP takes one sentence."""

    def mumble(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"\x00\x01 rubbish \xff\r\n\r\n")

    with serving(mumble) as url:
        code, answer, errors = ask(
            served_book(), "verify", "greet", "--url", url
        )
    assert (2, "", 1) == (code, answer, len(errors.splitlines()))
    assert f"What answers at {url} is no HTTP service: " in errors


def test_a_redirect(ask: Ask, served_book: Writer) -> None:
    """A service that sends one elsewhere takes one sentence."""

    def move(request: BaseHTTPRequestHandler) -> None:
        request.send_response(301)
        request.send_header("Location", "https://other.example/hello")
        request.end_headers()

    with serving(move) as url:
        answer = ask(served_book(), "verify", "greet", "--url", url)
    expected = (
        f"{url} sends GET /hello on to https://other.example/hello."
        " Give the address of the service that answers.\n"
    )
    assert (2, "", expected) == answer


def test_silence(served_book: Writer) -> None:
    """A service that never answers takes one sentence."""
    recipe = served_book().recipe("greet")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        subject = Subject(url, url=url, answer_deadline=0.2)
        with pytest.raises(WrongUse) as caught:
            verifying.hold(recipe, subject, [])
    expected = f"{url} does not answer GET /hello in 0.2 seconds."
    assert expected == str(caught.value)


def test_a_service_that_hangs_is_given_up(
    served_book: Writer, rude: Callable[[str], str]
) -> None:
    """After three requests without an answer no more are sent."""
    slow = "import time; time.sleep(60 if 'name' in self.path else 0)"
    recipe = served_book().recipe("greet")
    subject = Subject("slow", command=rude(slow), answer_deadline=0.2)
    run = verifying.hold(recipe, subject, [])
    assert "3 times there was no answer" == run.gave_up
    verdicts = {outcome.rule: outcome.verdict for outcome in run.outcomes}
    assert ("broken", "broken") == (verdicts["polite"], verdicts["brief"])
    assert "not checked" == verdicts["manners"]


def test_a_service_that_dies_is_left(
    ask: Ask, served_book: Writer, rude: Callable[[str], str]
) -> None:
    """The request that killed it is shown, with its last words."""
    command = rude("'name' in self.path and os._exit(5)")
    words = ("verify", "greet", "--command", command)
    code, answer, errors = ask(served_book(), *words)
    shown = [line.strip() for line in answer.splitlines()]
    assert (1, "") == (code, errors)
    assert "> GET /hello?name=ann" in shown
    assert "It was left there: the service ended with status 5." in shown
    assert "rude" in shown
    assert "0 of 4 rules kept, 1 broken, 3 not checked." in shown


def test_a_url_that_dies_is_left(ask: Ask, served_book: Writer) -> None:
    """What was not reached is not called broken."""
    asked: list[str] = []

    def die(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        if len(asked) == 1:
            request.send_response(200)
            request.end_headers()

    with serving(die) as url:
        words = ("verify", "greet", "--url", url, "--json")
        code, answer, _ = ask(served_book(), *words)
    (report,) = json.loads(answer)
    assert 1 == code
    assert f"{url} no longer answers: " in report["gave_up"]
    verdicts = [rule["verdict"] for rule in report["rules"]]
    assert ["broken", *["not checked"] * 3] == verdicts


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("no-such-program {port}", "cannot run no-such-program: No such file"),
        ("python -c 'exit(\"why\")' {port}", "ended with status 1\nwhy"),
    ],
)
def test_a_command_that_does_not_start(
    ask: Ask, served_book: Writer, command: str, expected: str
) -> None:
    """A command that starts nothing takes one sentence, and its log."""
    command = command.replace("python", sys.executable)
    words = ("verify", "greet", "--command", command)
    code, answer, errors = ask(served_book(), *words)
    assert (2, "") == (code, answer)
    assert expected in errors
    assert "The service does not start: " == errors[:28]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("--url", "http://a", "--command", "b {port}"),
            "Give frameworks, or --url, or --command: one of them.",
        ),
        (
            ("--in", "http", "--url", "http://a"),
            "Give frameworks, or --url, or --command: one of them.",
        ),
        (
            ("--command", "node x"),
            "Write {port} where the command takes its port.",
        ),
        (
            ("--command", "node 'x {port}"),
            "The command cannot be read: No closing quotation.",
        ),
        (
            ("--url", "localhost:8000"),
            "localhost:8000 is no address like http://localhost:8000.",
        ),
        (("--url", "http://"), "http:// is no address like"),
        (
            ("--url", "http://a", "--set", "A=1"),
            "A service that runs already takes no settings.",
        ),
        (("--set", "A"), "A setting is NAME=VALUE, and 'A' is not."),
        (("--rule", "polight"), "Did you mean polite?"),
        (("--in", "htp"), "Did you mean http?"),
    ],
)
def test_wrong_use(
    ask: Ask, served_book: Writer, words: tuple[str, ...], expected: str
) -> None:
    """What cannot be meant is a sentence."""
    code, answer, errors = ask(served_book(), "verify", "greet", *words)
    assert (2, "") == (code, answer)
    assert expected in errors


def test_without_a_contract(ask: Ask, served_book: Writer) -> None:
    """A recipe without a contract cannot be verified."""
    book = served_book({"tests/contracts/first/test_greet.py": None})
    answer = ask(book, "verify", "greet")
    assert (2, "", "greet has no contract yet.\n") == answer


def test_a_contract_that_is_broken(ask: Ask, served_book: Writer) -> None:
    """A contract that cannot be read is told, with what pytest says."""
    changes = {"tests/contracts/first/test_greet.py": "def ("}
    code, answer, errors = ask(served_book(changes), "verify", "greet")
    assert (2, "") == (code, answer)
    assert "The tests of greet cannot be run" in errors
    assert "SyntaxError" in errors


def test_the_user_s_own_pytest_is_left_out(
    ask: Ask, served_book: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options for other tests do not reach the contracts."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    assert 0 == ask(served_book(), "verify", "greet")[0]
    assert "--no-such-option" == os.environ["PYTEST_ADDOPTS"]


def test_ctrl_c(ask: Ask, served_book: Writer) -> None:
    """An interrupted run ends at once, with 130."""
    tests = (
        "import pytest\n@pytest.mark.rule('polite')\n"
        "def test_long(framework): raise KeyboardInterrupt\n"
    )
    book = served_book({"tests/contracts/first/test_greet.py": tests})
    code, answer, errors = ask(book, "verify", "greet")
    assert (130, "", "") == (code, answer, errors.strip())


MADE = (
    "self.send_response = lambda _:"
    " BaseHTTPRequestHandler.send_response(self, 201)"
)


def test_answers_are_read_with_the_manners(
    ask: Ask, served_book: Writer, rude: Callable[[str], str]
) -> None:
    """What httplint calls bad breaks the manners, where they are judged."""
    words = ("verify", "greet", "--command", rude(MADE), "--json")
    book, found = served_book(), {}
    for more in ((), ("--rule", "prompt")):
        (report,) = json.loads(ask(book, *words, *more)[1])
        found[more] = {
            failure["message"]
            for rule in report["rules"]
            for failure in rule["failures"]
            if "CREATED_WITHOUT_LOCATION" in failure["message"]
        }
    assert [1, 0] == [*map(len, found.values())]
