"""Which Prefect server a round reports to."""

from pathlib import Path

import pytest

from flows import server

PROFILES = """
active = "mine"

[profiles.mine]
PREFECT_API_URL = "http://127.0.0.1:1/api"

[profiles.none]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PREFECT_PROFILE", "PREFECT_PROFILES_PATH", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path


def test_a_server_that_the_profile_names_is_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server._named_in_profile() is None
    (home / "profiles.toml").write_text(PROFILES, encoding="utf-8")
    assert server._named_in_profile() == "http://127.0.0.1:1/api"
    asked: list[str] = []
    monkeypatch.setattr(server, "_must_answer", asked.append)
    with server.reachable(home / "ws") as url:
        assert url == "http://127.0.0.1:1/api"
    assert asked == [url]
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:2/api")  # the environment counts more
    with server.reachable(home / "ws") as url:
        assert url == "http://127.0.0.1:2/api"
    monkeypatch.setenv("PREFECT_PROFILE", "none")
    assert server._named_in_profile() is None
    monkeypatch.setenv("PREFECT_PROFILES_PATH", str(home / "others.toml"))
    (home / "others.toml").write_text("no [toml", encoding="utf-8")
    assert server._named_in_profile() is None
