"""batches.yaml: what DVC and people read stays what the rounds wrote."""

import shutil
from pathlib import Path

import pytest
import yaml

from flows import batches, round
from flows.batches import Batches
from flows.params import Params
from models.files import write_json
from tasks.workspace import BASE, Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.raw_folder.mkdir(parents=True)
    batches.write(workspace, Batches())
    return workspace


def test_what_is_written_is_read_back(ws: Workspace) -> None:
    known = Batches().begun("b0000", BASE).ended("b0000", "accepted").begun("b0001", "b0000").begun("b0002", "b0000")
    known = known.rejected_whole("b0001", "3 of 3 rows: [failed] {badly}").ended("b0002", "refused")
    batches.write(ws, known)
    assert batches.read(ws) == known
    found = yaml.safe_load(ws.batches.read_text(encoding="utf-8"))
    assert found["batches"] == {
        "b0000": {"parent": "base", "state": "accepted"},
        "b0002": {"parent": "b0000", "state": "refused"},
    }
    assert known.last_accepted == "b0000"
    assert known.unfinished == []


def test_pending_is_what_no_round_has_begun(ws: Workspace) -> None:
    for name in ("b0000", "b0001", "b10000", "b9999", "notes"):
        ws.raw(name).touch()
    known = Batches().begun("b0000", BASE)
    assert batches.pending(ws, known) == ["b0001", "b9999", "b10000"]
    assert batches.next_name(ws) == "b10001"


def test_names_of_rejected_batches_are_not_given_again(ws: Workspace) -> None:
    batches.write(ws, Batches().begun("b0000", BASE).rejected_whole("b0000", "bad"))
    assert batches.next_name(ws) == "b0001"


def test_a_broken_file_is_named(ws: Workspace) -> None:
    ws.batches.write_text("batches: [", encoding="utf-8")
    with pytest.raises(ValueError, match=r"batches\.yaml cannot be read"):
        batches.read(ws)


def test_a_batch_that_would_not_fit_on_the_disk_is_not_begun(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(ws.root)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage._replace(free=2500))
    round.check_room(ws, "b0000")  # how large a version is, the base's weights will say
    ws.weights(BASE).mkdir(parents=True)
    (ws.weights(BASE) / "model.safetensors").write_bytes(bytes(1000))
    with pytest.raises(ValueError, match=r"Make room, then start again"):
        round.check_room(ws, "b0000")
    ws.weights("b0000").mkdir()  # learnt already
    round.check_room(ws, "b0000")


def test_another_base_is_refused_once_something_was_learnt(ws: Workspace) -> None:
    other = Params.model_validate({"base": {"model": "other"}})
    round.check_base(ws, other)  # nothing was made yet
    write_json(ws.weights(BASE) / "provenance.json", {"version": BASE, "parent": None, "model": "embedded"})
    batches.write(ws, Batches().begun("b0000", BASE))
    round.check_base(ws, other)  # a first round that failed may go on with another one
    batches.write(ws, Batches().begun("b0000", BASE).ended("b0000", "refused"))
    with pytest.raises(ValueError, match=r"base\.model is other, and b0000 was learnt on embedded"):
        round.check_base(ws, other)
    round.check_base(ws, Params())
