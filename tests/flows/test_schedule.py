"""A round that nobody started by hand: server, worker and schedule on loopback, with the tiny model."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.conftest import Workspaces, call, day, environment

PATIENCE = 200.0  # seconds, on a busy machine


@pytest.mark.slow
def test_a_scheduled_round_happens(tmp_path: Path, new_workspace: Workspaces) -> None:
    workspace = new_workspace(tmp_path / "ws")
    call(workspace, "ingest", str(day(tmp_path / "one.jsonl", "Anna")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = f"http://127.0.0.1:{port}/api"
    executables = str(Path(sys.executable).parent)
    env = {
        **environment(),
        "PATH": f"{executables}{os.pathsep}{os.environ['PATH']}",
        "PWD": str(workspace),  # what a shell would say, and what prefect.yaml asks for
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "DO_NOT_TRACK": "true",
    }
    with ExitStack() as stack:
        stack.enter_context(started(["server", "start", "--host", "127.0.0.1", "--port", str(port)], workspace, env))
        wait_until(lambda: urllib.request.urlopen(f"{api}/health", timeout=2).status == 200)
        stack.enter_context(started(["worker", "start", "--pool", "selfparam", "--type", "process"], workspace, env))
        wait_until(lambda: post(f"{api}/work_pools/filter", {}) != [])
        shorten_the_schedule(workspace / "prefect.yaml")
        subprocess.run(
            [sys.executable, "-P", "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=workspace,
            env=env,
            check=True,
            capture_output=True,
        )
        wait_until(lambda: completed(api) != [])
        run = completed(api)[0]
        assert run["auto_scheduled"]
        tasks = post(f"{api}/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
        names = ("base", "validate", "synthesize", "integrate", "evaluate", "register", "gate")
        assert sorted(t["name"].split()[0] for t in tasks) == sorted(names)
        lines = [line["message"] for line in post(f"{api}/logs/filter", {"sort": "TIMESTAMP_ASC"})]
        assert any(line.startswith("integrate b0000 step") for line in lines)
        assert [a["key"] for a in post(f"{api}/artifacts/filter", {})] == ["round-b0000"]
    status = json.loads(call(workspace, "status", "--json").stdout)
    assert (status["champion_batch"], status["disagreements"]) == ("b0000", [])


def shorten_the_schedule(path: Path) -> None:
    """In 20 seconds and every minute from then on in place of every night; everything else as it is deployed. Runs
    that would overlap are cancelled."""
    deployments = yaml.safe_load(path.read_text(encoding="utf-8"))
    soon = datetime.now(UTC) + timedelta(seconds=20)  # a deployment takes some ten
    schedule = {"interval": 60, "anchor_date": soon.isoformat(), "slug": "nightly"}
    deployments["deployments"][0]["schedules"] = [schedule]
    path.write_text(yaml.safe_dump(deployments), encoding="utf-8")


@contextmanager
def started(arguments: list[str], workspace: Path, env: dict[str, str]) -> Iterator[None]:
    """A Prefect process that is ended politely: the worker waits for SIGINT."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "prefect", *arguments],
        cwd=workspace,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def completed(api: str) -> list[dict[str, Any]]:
    wanted = {"state": {"type": {"any_": ["COMPLETED"]}}}
    return post(f"{api}/flow_runs/filter", {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC"})


def post(url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
    return found


def wait_until(happened: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if happened():
                return
        except OSError:  # not up yet
            pass
        time.sleep(1)
    pytest.fail("it did not happen in time")
