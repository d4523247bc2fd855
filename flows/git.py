"""The commits that rounds and intakes make: always by pathspec, so that whatever else is staged stays staged."""

import subprocess
from pathlib import Path

OWNED = ("batches.yaml", "dvc.lock", "data/raw.dvc", "data/metrics", "data/training", "data/retention", "journal.jsonl")
NOBODY = "selfparam"  # who works here, where neither git nor the system knows


def commit(root: Path, message: str, paths: tuple[str, ...] = OWNED) -> bool:
    """Commit what has changed in `paths`; False where nothing has, or where the folder is no repository of its own (one
    that is around it is not ours to write to)."""
    if not (root / ".git").exists():
        return False
    there = [path for path in paths if (root / path).exists()]
    if not there:
        return False
    # also what a person's own settings ignore everywhere (*.lock, *.csv); not what a killed write left
    _git(root, "add", "--force", "--", *there, ":(exclude,glob)**/.*.aside-*", ":(exclude,glob)**/.*.old-*")
    if _git(root, "diff", "--cached", "--quiet", "--", *there, check=False).returncode == 0:
        return False
    _git(root, *_identity(root), "commit", "--quiet", "-m", message, "--", *there)
    return True


def head(root: Path) -> str | None:
    """The commit that is checked out, where there is one."""
    found = _git(root, "rev-parse", "HEAD", check=False)
    return found.stdout.strip() if found.returncode == 0 else None


def check(root: Path) -> None:
    """Refuse a workspace outside git: DVC would, and less plainly."""
    asked = _git(root, "rev-parse", "--git-dir", check=False)
    if asked.returncode != 0:
        why = asked.stderr.strip()
        raise ValueError(f"{root} must be a git repository: `selfparam init {root}` makes it one ({why}).")


def start(root: Path) -> None:
    """Make a repository, where there is none."""
    if not (root / ".git").exists():
        _git(root, "init", "--quiet")


def person(root: Path) -> str:
    """Who works here, as git knows them; else the name of the account."""
    import getpass

    found = _git(root, "config", "user.name", check=False).stdout.strip()
    if found:
        return found
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return NOBODY


def _identity(root: Path) -> list[str]:
    """Ours, unless git knows both name and address: half of one it may refuse to complete (`user.useConfigOnly`)."""
    if all(_git(root, "config", f"user.{known}", check=False).stdout.strip() for known in ("name", "email")):
        return []
    return ["-c", f"user.name={NOBODY}", "-c", f"user.email={NOBODY}@localhost"]


def _git(root: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise ValueError(f"`git {arguments[0]}` failed in {root}: {done.stderr.strip()}")
    return done
