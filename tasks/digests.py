"""What files hash to, as DVC reckons it and as we do: how a registered version is told from what a stage made since.

It knows no tracker, and of the registry only a version's tags.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from tasks.registry import RegisteredVersion
from tasks.workspace import Workspace

try:  # dvc.lock grows with the batches: 2 s for a hundred of them without libyaml
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader  # type: ignore[assignment]


def weights_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a version's files; `provenance.json` tells of them and does not count."""
    total = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "provenance.json"):
        with file.open("rb") as handle:
            one = hashlib.file_digest(handle, "sha256").hexdigest()
        total.update(f"{file.relative_to(folder).as_posix()} {one}\n".encode())
    return total.hexdigest()


def locked(ws: Workspace) -> dict[str, str]:
    """DVC's hash of every path in `dvc.lock`: as its stage wrote it, not as a later stage read it some time before."""
    path = ws.root / "dvc.lock"
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader) if path.exists() else None
    except yaml.YAMLError as error:
        raise ValueError(f"{path} cannot be read ({error}). `git checkout dvc.lock` brings it back.") from error
    stages = ((found or {}).get("stages") or {}).values()
    entries = [entry for key in ("deps", "outs") for stage in stages for entry in stage.get(key, [])]
    return {entry["path"]: entry["md5"] for entry in entries if "md5" in entry}


def on_disk(
    ws: Workspace, batch: str, versions: Sequence[RegisteredVersion], hashes: Mapping[str, str]
) -> RegisteredVersion | None:
    """The one of a batch's `versions` whose weights `data/weights/` holds. `hashes` is what `locked` says.

    The weights are read only where DVC's hash settles nothing: it counts `provenance.json`, too.
    """
    md5 = hashes.get(ws.weights(batch).relative_to(ws.root).as_posix())
    for version in reversed(versions):
        if md5 and version.tags.get("dvc.weights") == md5:
            return version
    return of_weights(versions, weights_digest(ws.weights(batch)))


def in_the_place_of(ws: Workspace, champion: RegisteredVersion) -> str | None:
    """What is to be done where `data/weights` holds something else in the champion's place: what is learnt next would
    be learnt on top of that. None where it holds the champion, or nothing."""
    folder = ws.weights(champion.batch)
    if not folder.is_dir() or on_disk(ws, champion.batch, [champion], locked(ws)):
        return None
    return (
        f"the champion is version {champion.number}, and data/weights/{champion.batch} holds other weights by now. "
        "Go back to the champion's (the params.yaml of then, `git checkout dvc.lock data`, `dvc checkout`); or "
        "`selfparam promote N` the version that lies there, which `selfparam status` lists"
    )


def of_weights(versions: Sequence[RegisteredVersion], digest: str) -> RegisteredVersion | None:
    """The newest of `versions` whose weights have this digest."""
    return next((version for version in reversed(versions) if version.tags.get("weights.sha256") == digest), None)
