"""SIGKILL during each stage of a round: the next round completes it, nothing is lost or doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.files import is_alive
from tests.flows.conftest import SELFPARAM, Workspaces, call, day, environment, git

MOMENTS = (
    "base: > selfparam",
    "validate b0000: > selfparam",
    "synthesize b0000: > selfparam",
    "integrate b0000: step",
    "evaluate b0000: > selfparam",
    "register b0000: started",
    "register b0000: version",  # the gate is at work
)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux_only
@pytest.mark.slow
def test_ctrl_c_ends_a_round_at_once_and_leaves_nothing_running(tmp_path: Path, new_workspace: Workspaces) -> None:
    workspace = new_workspace(tmp_path / "ws")
    call(workspace, "ingest", str(day(tmp_path / "one.jsonl", "Anna")))
    with started(
        workspace,
        start_new_session=True,  # as a terminal does: all that the round started hear of it
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's job in the background ignores it
    ) as round:
        assert round.stdout is not None
        next(line for line in round.stdout if line.startswith("base: > selfparam"))
        os.killpg(round.pid, signal.SIGINT)
        try:
            said, _ = round.communicate(timeout=60)
        finally:
            round.kill()
    assert round.returncode == 130
    assert "Stopped. The next `selfparam run` goes on from here." in said
    wait_for_orphans(workspace)


@linux_only
@pytest.mark.slow
def test_killed_in_each_stage_and_completed(tmp_path: Path, new_workspace: Workspaces) -> None:
    workspace = new_workspace(tmp_path / "ws")
    call(workspace, "ingest", str(day(tmp_path / "one.jsonl", "Anna")))
    for moment in MOMENTS:
        kill_at(workspace, moment)
        wait_for_orphans(workspace)
        assert champion_is_whole(workspace)

    learnt = [(b["batch"], b["state"]) for b in json.loads(call(workspace, "run", "--json").stdout)["learnt"]]
    status = json.loads(call(workspace, "status", "--json").stdout)
    assert status["disagreements"] == []
    assert [(b["batch"], b["state"], b["version"]) for b in status["batches"]] == [("b0000", "accepted", 1)]
    assert learnt in ([("b0000", "accepted")], [])  # the last kill may have come just too late
    journal = (workspace / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["what"] for line in journal] == ["accept", "promote"]
    assert not list((workspace / "data").rglob(".*.aside-*"))
    commits = git(workspace, "log", "--format=%s").splitlines()
    assert commits.count("b0000: accepted") == 1
    assert git(workspace, "status", "--short") == ""


def started(workspace: Path, **how: Any) -> "subprocess.Popen[str]":
    """A round whose lines can be read as they come."""
    return subprocess.Popen(
        [*SELFPARAM, "run"],
        cwd=workspace,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **how,
    )


def kill_at(workspace: Path, moment: str) -> None:
    """Start a round and kill it, itself only, when it says `moment`."""
    with started(workspace) as round:
        assert round.stdout is not None
        said = []
        for line in round.stdout:
            said.append(line)
            if line.startswith(moment):
                time.sleep(0.3)
                round.kill()
                return
    pytest.fail(f"the round never said {moment!r}:\n{''.join(said)}")


def wait_for_orphans(workspace: Path) -> None:
    """Nothing that the round started may outlive it for more than a moment."""
    for _ in range(30):
        left = processes_in(workspace)
        if not left:
            return
        time.sleep(0.1)
    pytest.fail(f"left running: {left}")


def processes_in(workspace: Path) -> list[str]:
    """The command lines of the processes whose folder is the workspace, or that name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if process.name != str(os.getpid()) and (process / "cwd").readlink().is_relative_to(workspace):
                found.append(command)
        except OSError:  # it has just ended
            continue
    return [command for command in found if command]


def champion_is_whole(workspace: Path) -> bool:
    """There is no champion yet, or its weights can be read to the end."""
    from safetensors import safe_open

    from flows.settings import register_config
    from tasks import registry
    from tasks.workspace import Workspace

    ws = Workspace(workspace)
    if registry.champion(ws, register_config(ws)) is None:
        return True
    with safe_open(registry.resolve(ws, register_config(ws), "champion") / "model.safetensors", "pt") as weights:
        return all(weights.get_tensor(name).isfinite().all() for name in weights.keys())  # noqa: SIM118


@pytest.mark.slow
def test_a_stage_by_hand_dies_with_its_parent(tmp_path: Path) -> None:
    """The bond itself, without a round: a child of a killed process is gone."""
    script = (
        "import subprocess, sys; from flows import lifeline;"
        "child = subprocess.Popen(lifeline.command('http.server', '0', '--bind', '127.0.0.1'), "
        "env=lifeline.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(1)  # until it has bound itself
        os.kill(child, 0)
        parent.send_signal(signal.SIGKILL)
    for _ in range(50):
        if not running(child):
            return
        time.sleep(0.1)
    pytest.fail("the child outlived its parent")


def running(pid: int) -> bool:
    """Whether a process runs: one that ended and that nobody has collected does not."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
            if sys.platform == "linux"
            else is_alive(pid)
        )
    except OSError:
        return False
