"""What was measured of a machine is the same in every process, however busy it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models import attention, machine, model

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "selfparam"


def never() -> bool:
    raise AssertionError("it was measured again")


@pytest.mark.parametrize("is_so", [True, False])
def test_what_the_first_process_measured_holds_for_all(cache: Path, is_so: bool) -> None:
    assert machine.chosen("a", CPU, lambda: is_so) is is_so
    assert machine.chosen("a", CPU, never) is is_so
    assert machine.chosen("b", CPU, lambda: not is_so) is not is_so
    assert len(list((cache / "measured").iterdir())) == 2  # nothing is left beside them


def test_of_two_that_measure_side_by_side_the_first_is_right(cache: Path) -> None:
    def beside() -> bool:
        assert machine.chosen("a", CPU, lambda: False) is False  # another process, which is quicker
        return True

    assert machine.chosen("a", CPU, beside) is False


def test_other_threads_are_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.chosen("a", CPU, lambda: True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert not machine.chosen("a", CPU, lambda: False)


def test_where_nothing_can_be_written_each_process_measures(cache: Path) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    assert machine.chosen("a", CPU, lambda: True)
    assert not machine.chosen("a", CPU, lambda: False)


def test_a_damaged_file_is_measured_anew(cache: Path) -> None:
    assert machine.chosen("a", CPU, lambda: True)
    (file,) = (cache / "measured").iterdir()
    file.write_text("{")
    assert not machine.chosen("a", CPU, lambda: False)
    assert not machine.chosen("a", CPU, never)


def test_number_format_is_chosen_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_fast", {})
    first = model.fast_dtype(CPU)
    monkeypatch.setattr(model, "_fast", {})  # as in another process
    monkeypatch.setattr(model, "_product_seconds", None)
    assert model.fast_dtype(CPU) is first


def test_attention_is_chosen_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_measured", {})
    first = attention.fused_is_faster(CPU, torch.float32)
    monkeypatch.setattr(attention, "_measured", {})
    monkeypatch.setattr(attention, "_seconds", None)
    assert attention.fused_is_faster(CPU, torch.float32) is first


def test_the_first_cosines_of_a_process_are_its_later_ones() -> None:
    """Without the warm-up, one process in three computes half of the first ones less exactly: other bits each time."""
    code = (
        "import sys, torch; import models.machine; x = torch.arange(23552.0).div(100).view(368, 64); "
        "sys.exit(not torch.equal(x.cos(), x.cos()))"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "OMP_NUM_THREADS": "2"})
