"""Which registered version lies on the disk, told by hashes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from tasks import digests
from tasks.registry import RegisteredVersion
from tasks.workspace import Workspace

WEIGHTS = "data/weights/b0000"


def version(number: int, **tags: str) -> RegisteredVersion:
    return RegisteredVersion(
        number=number, batch="b0000", parent="base", run_id=str(number), created=datetime(2026, 1, 2, tzinfo=UTC),
        tags={name.replace("_", "."): value for name, value in tags.items()},
    )  # fmt: skip


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.weights("b0000").mkdir(parents=True)
    (workspace.weights("b0000") / "model.safetensors").write_bytes(b"weights")
    return workspace


def test_what_a_stage_wrote_counts_and_not_what_another_read_before(ws: Workspace) -> None:
    assert digests.locked(ws) == {}
    stages = {
        "integrate@b0000": {"outs": [{"path": WEIGHTS, "md5": "new"}]},
        "integrate@b0001": {"deps": [{"path": WEIGHTS, "md5": "old"}, {"path": "data/qa/b0001", "md5": "pairs"}]},
    }
    (ws.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    assert digests.locked(ws) == {WEIGHTS: "new", "data/qa/b0001": "pairs"}
    (ws.root / "dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n=======\n")
    with pytest.raises(ValueError, match="git checkout dvc"):
        digests.locked(ws)


def test_the_version_on_the_disk_is_found_by_either_hash(ws: Workspace) -> None:
    digest = digests.weights_digest(ws.weights("b0000"))
    old, new = version(1, dvc_weights="a", weights_sha256="other"), version(2, dvc_weights="b", weights_sha256=digest)
    assert digests.on_disk(ws, "b0000", [old, new], {WEIGHTS: "a"}) == old  # nothing is read for it
    assert digests.on_disk(ws, "b0000", [old, new], {WEIGHTS: "c"}) == new  # another provenance.json, say
    assert digests.on_disk(ws, "b0000", [old, new], {}) == new
    (ws.weights("b0000") / "model.safetensors").write_bytes(b"other weights")
    assert digests.on_disk(ws, "b0000", [old, new], {WEIGHTS: "c"}) is None
