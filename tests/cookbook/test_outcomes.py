from typing import Any, Literal

import pytest

from cookbook.contract.outcomes import Failure, Outcome, Recorder


def report(
    test: str,
    outcome: Literal["passed", "failed", "skipped"],
    when: Literal["setup", "call", "teardown"] = "call",
    value: int = 1,
    of: int = 1,
    **failure: Any,
) -> pytest.TestReport:
    """Make a report of a test of the rule `polite`."""
    proves = {
        "recipe": "greet",
        "rules": ["polite"],
        "framework": "flask",
        "test": test,
        "siblings": {"polite": ["test_a", "test_b"]},
        "variants": of,
    }
    properties: list[tuple[str, Any]] = [("cookbook", proves)]
    if failure:
        properties.append(("failure", failure))
    return pytest.TestReport(
        nodeid=f"test_greet.py::{test}[{value}]",
        location=("test_greet.py", 1, test),
        keywords={},
        outcome=outcome,
        longrepr="long",
        when=when,
        duration=0.5,
        user_properties=properties,
    )


def judged(*reports: pytest.TestReport) -> Outcome:
    """Judge the one rule that the reports are about."""
    recorder = Recorder()
    for one in reports:
        recorder.pytest_runtest_logreport(one)
    (outcome,) = recorder.outcomes()
    return outcome


A, B = report("test_a", "passed"), report("test_b", "passed")


def test_kept() -> None:
    """A rule is kept when all of its tests have passed."""
    outcome = judged(A, B)
    assert ("kept", 1.0) == (outcome.verdict, outcome.seconds)


def test_a_failure_breaks() -> None:
    """One test that fails breaks the rule, whatever passed after it."""
    failed = report("test_a", "failed", value=1, of=2)
    after = report("test_a", "passed", value=2, of=2)
    outcome = judged(failed, after, B)
    assert "broken" == outcome.verdict
    assert {"test_a": "failed", "test_b": "passed"} == outcome.tests


def test_a_failing_teardown_breaks() -> None:
    """What goes wrong after a test counts as well."""
    after = report("test_a", "failed", when="teardown")
    assert "broken" == judged(A, after, B).verdict


def test_a_missing_test_is_incomplete() -> None:
    """A rule is not kept while one of its tests has not run."""
    assert "incomplete" == judged(A).verdict


def test_a_missing_value_is_incomplete() -> None:
    """A rule is not kept while a test lacks one of its values."""
    first = report("test_a", "passed", value=1, of=2)
    assert "incomplete" == judged(first, B).verdict


@pytest.mark.parametrize("order", [1, -1])
def test_a_skipped_value_is_incomplete(order: int) -> None:
    """A value that was not checked is not passed, in either order."""
    values = [
        report("test_a", "passed", value=1, of=2),
        report("test_a", "skipped", value=2, of=2),
    ]
    outcome = judged(*values[::order], B)
    assert "incomplete" == outcome.verdict
    assert "not checked" == outcome.tests["test_a"]


def test_a_test_that_only_began_is_incomplete() -> None:
    """A set-up that went well proves nothing."""
    begun = report("test_a", "passed", when="setup")
    assert "incomplete" == judged(begun, B).verdict


def test_not_checked() -> None:
    """A rule is not checked when every test of it was left out."""
    skipped = [report(t, "skipped", "setup") for t in ("test_a", "test_b")]
    assert "not checked" == judged(*skipped).verdict


def test_a_failure_is_described() -> None:
    """A failure has the message, the kind and the exchange."""
    said: dict[str, Any] = {
        "assertion": True,
        "message": "no",
        "exchange": "> GET /",
    }
    outcome = judged(report("test_a", "failed", **said))
    assert (Failure("test_a", True, "no", "> GET /"),) == outcome.failures


def test_a_failure_without_words_is_a_crash() -> None:
    """A report that says nothing of an assertion is a crash."""
    outcome = judged(report("test_a", "failed"))
    assert (Failure("test_a", False, "long"),) == outcome.failures


def test_other_tests_do_not_count() -> None:
    """A test that proves no rule is no part of the verdict."""
    recorder = Recorder()
    plain = report("test_a", "failed")
    plain.user_properties.clear()
    recorder.pytest_runtest_logreport(plain)
    assert [] == recorder.outcomes()


def test_gist() -> None:
    """What the test said, then the comparison that failed."""
    message = "AssertionError: <html>\n<p>\nassert 201 == 501\n +  where"
    gist = Failure("test_a", True, message).gist
    assert ["<html>", "assert 201 == 501"] == gist


def test_a_remark_is_about_manners() -> None:
    """An answer at fault breaks the manners, and not the test's rule."""
    said = {"assertion": True, "message": "rude", "exchange": "> GET /"}
    remarks = {"outcome": "passed", "found": [said]}
    recorder = Recorder()
    for value in (1, 2):
        rude = report("test_a", "failed", value=value, of=2)
        rude.user_properties.append(("remarks", remarks))
        recorder.pytest_runtest_logreport(rude)
    recorder.pytest_runtest_logreport(B)
    found = {one.rule: one for one in recorder.outcomes()}
    assert "kept" == found["polite"].verdict
    assert "broken" == found["manners"].verdict
    told = (Failure("test_a", True, "rude", "> GET /"),)
    assert told == found["manners"].failures
