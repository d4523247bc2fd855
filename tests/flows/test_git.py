"""Who commits, where git knows half of it or nothing."""

import getpass
from pathlib import Path

import pytest

from flows import git
from tests.flows.conftest import git as git_itself


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository of somebody whom git does not know."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    git.start(tmp_path)
    return tmp_path


def test_a_user_without_a_name_works_here_too(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert git.person(repository) == "selfparam"


@pytest.mark.parametrize(
    ("known", "author"),
    [
        ({"email": "ada@example.org"}, "selfparam <selfparam@localhost>"),
        ({"name": "Ada"}, "selfparam <selfparam@localhost>"),
        ({"name": "Ada", "email": "ada@example.org"}, "Ada <ada@example.org>"),
    ],
    ids=["address", "name", "both"],
)
def test_half_a_name_is_not_completed_by_git(repository: Path, known: dict[str, str], author: str) -> None:
    for key, value in {**known, "useConfigOnly": "true"}.items():
        git_itself(repository, "config", f"user.{key}", value)
    (repository / "batches.yaml").touch()
    assert git.commit(repository, "The books")
    assert git_itself(repository, "log", "-1", "--format=%an <%ae>").strip() == author


def test_what_a_person_ignores_everywhere_is_kept_here(repository: Path) -> None:
    (repository / "ignore").write_text("*.lock\n*.csv\n")
    git_itself(repository, "config", "core.excludesFile", str(repository / "ignore"))
    kept, left = repository / "data" / "training", repository / "data" / "training" / ".b0000.csv.aside-4711"
    kept.mkdir(parents=True)
    for file in (repository / "dvc.lock", kept / "b0000.csv", left):
        file.touch()
    assert git.commit(repository, "The books")
    assert git_itself(repository, "ls-files").split() == ["data/training/b0000.csv", "dvc.lock"]
