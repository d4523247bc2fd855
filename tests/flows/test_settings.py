"""params.yaml as people leave it."""

import shutil
from pathlib import Path

import pytest
import yaml

from flows import params, settings, stages
from flows.init import init, template
from models.configs import IntegrateConfig
from tasks.gate import GateConfig
from tasks.validate import ValidateConfig
from tasks.workspace import BASE


def test_a_section_that_is_commented_out_has_its_defaults(tmp_path: Path) -> None:
    ws, _ = init(tmp_path / "ws")
    ws.params.write_text("seed: 0\nvalidate:\n  # max_tokens: 5\nintegrate:\n", encoding="utf-8")
    assert settings.section(ws, "validate", ValidateConfig) == ValidateConfig()
    assert params.read(ws) == params.Params()
    ws.params.write_text("integrat:\n", encoding="utf-8")
    with pytest.raises(ValueError, match="integrat: Extra inputs"):
        params.read(ws)


def test_a_seed_that_is_no_number_is_named(tmp_path: Path) -> None:
    ws, _ = init(tmp_path / "ws")
    ws.params.write_text("seed:\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"params\.yaml: seed: .*integer"):
        stages.perform(ws, "base", BASE, BASE)


def test_an_init_that_was_killed_is_completed_and_nothing_else_is_touched(tmp_path: Path) -> None:
    ws, _ = init(tmp_path / "ws")
    ws.batches.unlink()  # what is written last
    shutil.rmtree(ws.root / ".git")
    assert init(ws.root)[1]
    (tmp_path / "other" / "data").mkdir(parents=True)
    (tmp_path / "other" / "data" / "mine.csv").touch()
    with pytest.raises(ValueError, match="not empty"):
        init(tmp_path / "other")
    with pytest.raises(ValueError, match="question mark"):
        init(tmp_path / "what?")


def test_embeddings_without_the_method_that_trains_them_are_no_silence() -> None:
    with pytest.raises(ValueError, match="method: full"):
        IntegrateConfig(embeddings=True)


@pytest.mark.parametrize("name", ["params.yaml", "sample/params.yaml"])
def test_no_section_is_left_out_of_what_a_workspace_begins_with(name: str) -> None:
    """DVC stops where one that dvc.yaml names is missing."""
    fields = params.Params.model_fields.items()
    assert list(yaml.safe_load(template(name).read_text(encoding="utf-8"))) == [f.alias or n for n, f in fields]


def test_the_thresholds_of_the_gate_stand_where_they_are_changed() -> None:
    written = yaml.safe_load(template("params.yaml").read_text(encoding="utf-8"))["gate"]
    assert written == GateConfig().model_dump()
