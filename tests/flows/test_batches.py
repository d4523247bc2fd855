"""batches.yaml: what DVC and people read stays what the rounds wrote."""

import io
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from flows import batches, round
from flows.batches import Batches
from flows.params import Params
from flows.run import say_what_is_untaught
from models.files import write_json
from tasks import registry
from tasks.journal import Move
from tasks.registry import RegisteredVersion
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


@pytest.mark.parametrize("section", ["batches", "rejected"])
def test_a_name_of_another_form_is_named(ws: Workspace, section: str) -> None:
    ws.batches.write_text(f"{section}:\n  day1: {{parent: base{', reason: x' * (section == 'rejected')}}}\n")
    with pytest.raises(ValueError, match=r"batches\.yaml: 'day1' names no batch: write b0000"):
        batches.read(ws)


def test_a_champion_of_another_workspace_is_no_parent(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    champion = RegisteredVersion(
        number=7, batch="b0003", parent=BASE, run_id="7", created=datetime(2026, 1, 2, tzinfo=UTC), tags={}
    )
    monkeypatch.setattr(registry, "champion", lambda *_: champion)
    ws.raw("b0004").touch()
    with pytest.raises(ValueError, match=r"version 7 \(b0003\), which .*batches\.yaml does not hold.*register\.model"):
        round.begin_next(ws, Params())
    assert batches.read(ws) == Batches()
    batches.write(ws, Batches().begun("b0003", BASE).ended("b0003", "accepted"))
    assert round.champions_batch(ws, Params()) == "b0003"


def test_what_was_begun_on_a_champion_that_is_none_any_more_begins_anew(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = RegisteredVersion(
        number=1, batch="b0000", parent=BASE, run_id="1", created=datetime(2026, 1, 2, tzinfo=UTC), tags={}
    )
    monkeypatch.setattr(registry, "champion", lambda *_: champion)
    known = Batches().begun("b0000", BASE).ended("b0000", "accepted").begun("b0001", "b0000")
    known = known.ended("b0001", "accepted").begun("b0002", "b0001")  # killed; then somebody went back to b0000
    batches.write(ws, known)
    who = {"who": "x", "why": "", "at": champion.created, "was": 1, "champion": 1}
    judged = Move(what="accept", version=3, batch="b0002", run="3", **who)
    ws.journal.write_text(judged.model_dump_json() + "\n", encoding="utf-8")
    assert round.begin_next(ws, Params()) == "b0002"
    assert batches.read(ws) == known  # a registry made anew gets back what was learnt
    ws.journal.unlink()
    assert round.begin_next(ws, Params()) == "b0002"
    assert batches.read(ws).batches["b0002"].parent == "b0000"


def settled(*parents: str) -> Batches:
    """b0000, b0001, … on these parents, all let in."""
    known = Batches()
    for number, parent in enumerate(parents):
        known = known.begun(f"b{number:04d}", parent).ended(f"b{number:04d}", "accepted")
    return known


def test_nothing_is_learnt_on_top_of_itself(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    champion = RegisteredVersion(number=3, batch="b0002", parent="b0001", run_id="3", created=at, tags={})
    monkeypatch.setattr(registry, "champion", lambda *_: champion)
    known = settled(BASE, "b0000", "b0001")
    # all are judged anew (what `status` says to do after `dvc repro`), and the gate refuses the first now
    known = known.ended("b0000", "refused").begun("b0001", "b0000").begun("b0002", "b0001")
    batches.write(ws, known)
    assert round.begin_next(ws, Params()) == "b0001"
    assert batches.read(ws).lineage("b0002") == ["b0002", "b0001", BASE]
    # what an older program wrote down is mended as well
    batches.write(ws, known.begun("b0001", "b0001"))
    assert round.begin_next(ws, Params()) == "b0001"
    assert batches.read(ws).lineage("b0002") == ["b0002", "b0001", BASE]
    # a refused version that somebody made the champion afterwards stands
    who = {"who": "x", "why": "", "at": at, "was": None, "champion": 1, "version": 1, "batch": "b0000", "run": "1"}
    lines = [Move(what=what, **who).model_dump_json() for what in ("refuse", "promote")]
    ws.journal.write_text("\n".join(lines) + "\n", encoding="utf-8")
    batches.write(ws, known)
    assert round.begin_next(ws, Params()) == "b0001"
    assert batches.read(ws).batches["b0001"].parent == "b0000"


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


def test_experiences_that_were_not_learnt_are_named(ws: Workspace) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    say_what_is_untaught(ws, "b0000", console)
    write_json(ws.qa("b0000") / "report.json", {"without_pairs": []})
    say_what_is_untaught(ws, "b0000", console)
    assert console.export_text() == ""
    write_json(ws.qa("b0000") / "report.json", {"without_pairs": ["note [1]", "call"]})
    say_what_is_untaught(ws, "b0000", console)
    assert "b0000: no question could be written about note [1], call" in console.export_text()
