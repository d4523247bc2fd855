"""One round: all that has arrived is validated, synthesised, integrated, evaluated, registered and judged.

A task run a stage, and each runs exactly one DVC stage: Prefect brings schedule, history and retries, DVC
brings order, caching and lineage. Started by `selfparam run`, or by the schedule of `prefect.yaml`.
"""

# isort: off
import flows.quiet  # noqa: F401 - first: the libraries read it when they are imported

# isort: on
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect import Task, flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.logging.handlers import APILogHandler
from prefect.states import Cancelled, State

from flows import batches, dvc, git, locks, params, round, tables
from flows.params import Params
from flows.run import is_idle, registry_is_lost
from flows.stages import Stage
from tasks.gate import Verdict
from tasks.registry import RegisteredVersion
from tasks.workspace import BASE, Workspace


@flow(name="update", description="One round over all that has arrived.", log_prints=False)
def update(workspace: str | None = None) -> "State[Any] | list[str]":
    """Run a round in `workspace` (default: where it is started). Returns the batches that it finished."""
    _log_to_prefect()
    ws = Workspace(batches.find_root(Path(workspace or ".")))
    try:
        with locks.held_for_a_round(ws.root):
            return [] if is_idle(ws) else learn_all(ws, params.read(ws))
    except locks.Busy as busy:  # a schedule that is faster than its rounds must not pile them up
        return Cancelled(message=str(busy))


def _log_to_prefect() -> None:
    """A worker imports Prefect before this module, so no setting of ours can make it take our logger's lines."""
    log = logging.getLogger("selfparam")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, APILogHandler) for handler in log.handlers):
        log.addHandler(APILogHandler())


def learn_all(ws: Workspace, settings: Params) -> list[str]:
    """Batch after batch, beginning with the one that a killed round left; what arrives meanwhile is taken along."""
    round.check_books(ws)
    if registry_is_lost(ws):
        round.reopen(ws)
    learnt = []
    while batch := round.begin_next(ws, settings):
        learn(ws, batch, settings)
        learnt.append(batch)
    return learnt


def learn(ws: Workspace, batch: str, settings: Params) -> None:
    """One batch's way through."""
    round.check_base(ws, settings)
    round.check_room(ws, batch)
    round.take_in(ws)
    STAGES["base"](ws, BASE)
    STAGES["validate"](ws, batch)
    reason = round.report_of(ws, batch).rejected_whole
    if not reason:
        STAGES["synthesize"](ws, batch)
        reason = round.nothing_to_learn(ws, batch)
    if reason:
        round.leave_out(ws, batch, reason)
        tell(batch, "rejected whole", tables.rejected_as_markdown(ws, batch, reason))
        round.keep_books(ws, f"{batch}: rejected whole", settings)
        return
    STAGES["integrate"](ws, batch)
    STAGES["evaluate"](ws, batch)
    round.check_settings(ws, settings)
    version = register(ws, batch, settings)
    verdict = gate(ws, version, settings)
    said = "accepted" if verdict.accepted else "refused"
    tell(batch, f"version {version.number}, {said}", tables.as_markdown(ws, version, verdict))
    round.keep_books(ws, f"{batch}: {said}", settings)


def _was_killed(task: "Task[..., Any]", run: TaskRun, state: "State[Any]") -> bool:
    try:
        state.result()
    except dvc.StageKilled:
        return True
    except Exception:  # whatever else it was, the same would happen again
        return False
    return False


def _stage(name: Stage) -> "Task[[Workspace, str], None]":
    # what a stage makes of what, and whether it need run at all, is DVC's affair: no cache of Prefect's here
    @task(
        name=name,
        task_run_name=f"{name} {{batch}}",
        cache_policy=NO_CACHE,
        retries=1,
        retry_delay_seconds=10,
        retry_condition_fn=_was_killed,
    )
    def run(ws: Workspace, batch: str) -> None:
        round.stage(ws, name, batch)

    return run


STAGES = {name: _stage(name) for name in ("base", "validate", "synthesize", "integrate", "evaluate")}


@task(name="register", task_run_name="register {batch}", cache_policy=NO_CACHE)
def register(ws: Workspace, batch: str, settings: Params) -> RegisteredVersion:
    """A run and a version in MLflow; nobody answers from it yet."""
    return round.register(ws, batch, settings)


@task(name="gate", task_run_name="gate {version.batch}", cache_policy=NO_CACHE)
def gate(ws: Workspace, version: RegisteredVersion, settings: Params) -> Verdict:
    """The verdict, and where it is yes the champion's alias moves: the last thing that happens to a version."""
    verdict = round.decide(ws, version.batch, settings)
    round.settle(ws, version, verdict, settings, who=git.person(ws.root), at=datetime.now(UTC))
    return verdict


def tell(batch: str, said: str, markdown: str) -> None:
    """The round's artifact in Prefect: what was learnt, what the gate or validation said, and where to look."""
    create_markdown_artifact(key=f"round-{batch}", markdown=markdown, description=f"{batch}: {said}")
