"""The environment of all that is started: servers are found, or said to be gone, at once."""

import os
from pathlib import Path

import pytest

from flows import quiet, server


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "corp.example"}, "corp.example,127.0.0.1,localhost"),
        ({"no_proxy": "localhost, corp.example", "NO_PROXY": "other"}, "localhost,corp.example,127.0.0.1"),
    ],
    ids=["nothing", "upper case", "both"],
)
def test_no_proxy_is_asked_for_this_machine(
    said: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")  # so that what hush sets is undone
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        quiet.hush()
        assert (os.environ["no_proxy"], os.environ["NO_PROXY"]) == (expected, expected)


def test_no_proxy_for_anything_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    quiet.hush()
    assert os.environ["no_proxy"] == "*"


def test_a_server_that_is_not_there_is_told_with_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    gone = r"PREFECT_API_URL is http://127\.0\.0\.1:9/api: .*`unset PREFECT_API_URL`"
    with pytest.raises(ValueError, match=gone), server.reachable(tmp_path):
        pass
