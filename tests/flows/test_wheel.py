"""The wheel alone makes a workspace: nothing of the repository is needed."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from flows import params, quiet, settings
from flows.init import SHARED, init, template
from models.configs import IntegrateConfig
from tasks.workspace import Workspace
from tests.flows.conftest import call, environment, git

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_init_from_an_installed_wheel(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert not [name for name in names if name.startswith(("tests/", "mlflow/", "data/"))]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "flows.cli", "init", str(tmp_path / "ws")],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name in SHARED:
        assert (tmp_path / "ws" / name).read_bytes() == (ROOT / name).read_bytes()
    assert (tmp_path / "installed" / "flows" / "template" / "sample" / "day-1.jsonl").is_file()


def test_a_new_workspace_is_whole_and_clean(tmp_path: Path) -> None:
    call(tmp_path, "init", "ws")
    workspace = tmp_path / "ws"
    assert git(workspace, "status", "--short") == ""
    assert (workspace / "data" / "raw").is_dir()
    assert "is learnt" in call(workspace, "run").stdout
    call(tmp_path, "init", "ws")  # done twice it changes nothing
    assert git(workspace, "status", "--short") == ""


def test_a_first_commit_that_failed_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bool:
        raise ValueError("`git commit` failed")

    with monkeypatch.context() as patched:
        patched.setattr("flows.git.commit", fails)
        with pytest.raises(ValueError, match="git commit"):
            init(tmp_path / "ws")
    assert not init(tmp_path / "ws")[1]
    assert git(tmp_path / "ws", "log", "--format=%s").splitlines() == ["A new workspace"]
    assert git(tmp_path / "ws", "status", "--short") == ""


def test_a_server_started_by_hand_keeps_to_what_a_round_does() -> None:
    server = tomllib.loads(template("prefect.toml").read_text(encoding="utf-8"))["server"]
    leases = quiet.DEFAULTS["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"]
    assert server == {"analytics_enabled": False, "concurrency": {"lease_storage": leases}}
    assert "prefect.toml" in SHARED


def test_the_demo_begins_with_its_own_settings(tmp_path: Path) -> None:
    ws, is_new = init(tmp_path / "demo", template("sample") / "params.yaml")
    assert is_new
    assert ws.params.read_bytes() == (ROOT / "sample" / "params.yaml").read_bytes()
    found = params.read(ws)  # all of them known
    assert found.integrate.epochs < IntegrateConfig().epochs
    assert set(settings.read(ws)) == set(settings.read(Workspace(ROOT)))
    assert not init(tmp_path / "demo", template("params.yaml"))[1]  # done twice it changes nothing
    assert ws.params.read_bytes() == (ROOT / "sample" / "params.yaml").read_bytes()


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    done = call(tmp_path, "init", ".", check=False)
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_templates_are_the_repositorys_own() -> None:
    assert template("dvc.yaml") == ROOT / "dvc.yaml"
