"""The commits that rounds and intakes make: always by pathspec, so that whatever else is staged stays staged."""

import subprocess
from pathlib import Path

OWNED = ("batches.yaml", "dvc.lock", "data/raw.dvc", "data/metrics", "data/training", "journal.jsonl")


def commit(root: Path, message: str, paths: tuple[str, ...] = OWNED) -> bool:
    """Commit what has changed in `paths`; False where nothing has, or where the folder is no git repository."""
    if not (root / ".git").exists():
        return False
    there = [path for path in paths if (root / path).exists()]
    if not there:
        return False
    _git(root, "add", "--", *there)
    if _git(root, "diff", "--cached", "--quiet", "--", *there, check=False).returncode == 0:
        return False
    _git(root, *_identity(root), "commit", "--quiet", "-m", message, "--", *there)
    return True


def head(root: Path) -> str | None:
    """The commit that is checked out, where there is one."""
    found = _git(root, "rev-parse", "HEAD", check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def start(root: Path) -> None:
    """Make a repository, where there is none."""
    if not (root / ".git").exists():
        _git(root, "init", "--quiet")


def person(root: Path) -> str:
    """Who works here, as git knows them; else the name of the account."""
    import getpass

    found = _git(root, "config", "user.name", check=False).stdout.strip()
    return found or getpass.getuser()


def _identity(root: Path) -> list[str]:
    if _git(root, "config", "user.email", check=False).stdout.strip():
        return []
    return ["-c", "user.name=selfparam", "-c", "user.email=selfparam@localhost"]


def _git(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise ValueError(f"`git {arguments[0]}` failed in {root}: {done.stderr.strip()}")
    return done
