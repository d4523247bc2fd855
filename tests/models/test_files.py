"""A write succeeds whole or leaves what was there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.files import lines_of, read_json, write_json, written_aside


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def fill(path: Path, text: str, *, as_folder: bool) -> None:
    if as_folder:
        path.mkdir()
        (path / "file").write_text(text)
    else:
        path.write_text(text)


def content(path: Path) -> str:
    return (path / "file").read_text() if path.is_dir() else path.read_text()


@pytest.mark.parametrize("as_folder", [False, True])
def test_the_new_takes_the_place_of_the_old(tmp_path: Path, as_folder: bool) -> None:
    target = tmp_path / "deep" / "target"
    for text in ("old", "new"):
        with written_aside(target) as aside:
            fill(aside, text, as_folder=as_folder)
            assert aside.parent == target.parent  # a rename must not cross file systems
        assert content(target) == text
    assert names(target.parent) == {"target"}


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path: Path, as_folder: bool) -> None:
    target = tmp_path / "target"
    fill(target, "old", as_folder=as_folder)

    def interrupted() -> None:
        with written_aside(target) as aside:
            fill(aside, "half", as_folder=as_folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert content(target) == "old"
    assert names(tmp_path) == {"target"}


def test_leftovers_of_a_killed_process_do_not_mix_in(tmp_path: Path) -> None:
    left = tmp_path / f".target.aside-{os.getpid()}"
    left.mkdir()
    (left / "stale").write_text("half")
    with written_aside(tmp_path / "target") as aside:
        fill(aside, "new", as_folder=True)
    assert names(tmp_path / "target") == {"file"}
    assert names(tmp_path) == {"target"}


@pytest.mark.parametrize("as_folder", [False, True])
def test_who_may_read_is_for_the_umask_to_say(tmp_path: Path, as_folder: bool) -> None:
    with written_aside(tmp_path / "it") as aside:
        if as_folder:
            aside.mkdir()
        file = aside / "model.safetensors" if as_folder else aside
        file.touch(mode=0o600)  # as safetensors makes it
    (tmp_path / "other").touch()
    written = tmp_path / "it" / "model.safetensors" if as_folder else tmp_path / "it"
    assert written.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_json_for_people(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"z": 1, "a": "é"})
    assert (tmp_path / "a" / "b.json").read_text(encoding="utf-8") == '{\n  "z": 1,\n  "a": "é"\n}\n'
    assert read_json(tmp_path / "a" / "b.json") == {"z": 1, "a": "é"}


def test_a_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text('{\n"a": }\n')
    with pytest.raises(ValueError, match=r"b\.json:2: not JSON"):
        read_json(tmp_path / "b.json")


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left, beside = tmp_path / f".target.aside-{done.stdout.strip()}", tmp_path / f".target.aside-{os.getppid()}"
    left.mkdir()
    beside.touch()  # its process lives
    with written_aside(tmp_path / "target") as aside:
        fill(aside, "new", as_folder=False)
    assert names(tmp_path) == {"target", beside.name}


@pytest.mark.parametrize("is_whole", [False, True])
def test_a_folder_that_a_killed_process_had_moved_away_comes_back(tmp_path: Path, is_whole: bool) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    target, old = tmp_path / "target", tmp_path / f".target.old-{done.stdout.strip()}"
    fill(old, "old", as_folder=True)
    if is_whole:  # killed while it removed the old folder
        fill(target, "new", as_folder=True)

    def interrupted() -> None:
        with written_aside(target):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == {"target"}
    assert content(target) == ("new" if is_whole else "old")


def test_a_file_takes_no_folder_s_place(tmp_path: Path) -> None:
    fill(tmp_path / "target", "thesis", as_folder=True)
    with pytest.raises(IsADirectoryError), written_aside(tmp_path / "target") as aside:
        fill(aside, "new", as_folder=False)
    assert content(tmp_path / "target") == "thesis"
    assert names(tmp_path) == {"target"}


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for text, lines in {"": [], "a\u2028b\x85c\n\nd": ["a\u2028b\x85c", "", "d"], "a\n": ["a"]}.items():
        file.write_text(text, encoding="utf-8")
        assert lines_of(file) == lines
