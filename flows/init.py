"""A new workspace: the files that every workspace shares, copied from one place, and a git repository around them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from flows import batches, git
from tasks.workspace import Workspace

SHARED = (
    "dvc.yaml",
    "params.yaml",
    "prefect.yaml",
    "prefect.toml",
    ".dvcignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvc/plots/retention.json",
    "data/.gitignore",
    "mlflow/.gitignore",
)
GITIGNORE = ".prefect/\n.venv/\n"


def template(name: str) -> Path:
    """A file or folder that comes with the program: beside this module in a wheel, else the repository's own."""
    packaged = Path(__file__).parent / "template" / name
    return packaged if packaged.exists() else Path(__file__).parent.parent / name


def init(folder: Path, params: Path | None = None) -> tuple[Workspace, bool]:
    """Make a workspace; where it is one already, only what is missing. Returns it, and whether it is new.

    `params` is the `params.yaml` to begin with, if not the usual one, which leaves all at its default.
    """
    ws = Workspace(folder.resolve())
    if "?" in str(ws.root):
        raise ValueError(
            f"{ws.root}: a question mark in the path ends the address of the registry's database. Rename it."
        )
    is_new = not ws.batches.exists()
    if is_new and folder.exists() and any(_foreign(ws.root)):
        raise ValueError(f"{folder} is not empty and no workspace. Name a new folder, or empty this one.")
    sources = {name: template(name) for name in SHARED} | ({"params.yaml": params} if params else {})
    for name, source in sources.items():
        _copy(source, ws.root / name)
    if not (ws.root / ".gitignore").exists():
        (ws.root / ".gitignore").write_text(GITIGNORE, encoding="utf-8")
    ws.raw_folder.mkdir(parents=True, exist_ok=True)
    if is_new:  # last: a folder that has it is a whole workspace
        batches.write(ws, batches.Batches())
    git.start(ws.root)
    if git.head(ws.root) is None:  # a new one, or one whose first commit failed
        git.commit(ws.root, "A new workspace", (*SHARED, ".gitignore", ws.batches.name))
    return ws, is_new


def _foreign(root: Path) -> Iterator[Path]:
    """Files that are none of what a killed `init` leaves."""
    own = {root / name for name in (*SHARED, ".gitignore")}
    return (file for file in root.rglob("*") if file.is_file() and file not in own)


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
