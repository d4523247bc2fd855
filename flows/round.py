"""The steps of a round, with no scheduler in them: what is next, one stage, the verdict, the books.

`flows.update` tells the story in Prefect's words; everything here can be called and tested without it.
"""

import logging
import shutil
import time
from datetime import datetime
from typing import Any

from flows import batches, dvc, git
from flows.params import Params
from flows.params import read as read_params
from models.files import read_json, size_of
from models.records import BatchReport
from tasks import digests, gate, journal, registry
from tasks.gate import Verdict
from tasks.register import register as register_version
from tasks.registry import RegisteredVersion
from tasks.workspace import BASE, Workspace

log = logging.getLogger("selfparam")

COPIES = 3  # of a version's weights: in `data/weights`, in DVC's cache, in the registry


def check_books(ws: Workspace) -> None:
    """Refuse to begin where there is no git, or raw files are gone; and mend what a killed DVC left of its lock."""
    git.check(ws.root)
    batches.check_raw(ws)
    if dvc.mend_lock(ws.root):
        log.warning("half of dvc.lock was left of a killed stage: it is as it was before that stage")


def take_in(ws: Workspace) -> None:
    """Let DVC track what has arrived since it last did (an intake beside a round leaves that to the round)."""
    check_books(ws)
    if any(ws.raw_folder.glob("*.jsonl")):
        dvc.track_raw(ws.root)


def reopen(ws: Workspace) -> None:
    """Let every batch be registered and judged again; the stages find their results in place."""
    log.info("the registry is gone: every batch is registered again")
    batches.write(ws, batches.read(ws).reopened())


def begin_next(ws: Workspace, params: Params) -> str | None:
    """The batch to work on: one that a killed round left, else the oldest pending one, entered with its parent.

    What was begun keeps its parent, unless the gate has refused that one since, or somebody has made another one the
    champion before anything was decided about the batch. Nothing is learnt on top of itself, or of what was learnt on
    top of it: where the champion is such a one, the nearest version below that stands takes its place.
    """
    known = batches.read(ws)
    if known.unfinished:
        batch = known.unfinished[0]
        parent = known.batches[batch].parent
        if stands(ws, known, parent) and (journal.was_judged(ws, batch) or parent == champions_batch(ws, params)):
            return batch
    elif waiting := batches.pending(ws, known):
        batch = waiting[0]
    else:
        return None
    parent = champions_batch(ws, params)
    if batch in known.lineage(parent):
        parent = next(below for below in known.lineage(batch)[1:] if stands(ws, known, below))
    batches.write(ws, known.begun(batch, parent=parent))
    return batch


def stands(ws: Workspace, known: batches.Batches, batch: str) -> bool:
    """Whether a batch may be learnt on top of this one: the base, what the gate let in, or what somebody made the
    champion after it was refused."""
    if batch not in known.batches:
        return batch == BASE
    state = known.batches[batch].state
    return state == "accepted" or (state == "refused" and journal.was_promoted_since(ws, batch))


def champions_batch(ws: Workspace, params: Params) -> str:
    """What the next batch is learnt on top of: the registry's champion; where a registry knows none (a clone whose
    registry lies elsewhere), the last batch that the gate let in."""
    champion = registry.champion(ws, params.register_)
    known = batches.read(ws)
    if champion is None:
        return known.last_accepted
    if champion.batch not in (BASE, *known.batches):
        raise ValueError(
            f"the champion is version {champion.number} ({champion.batch}), which {ws.batches} does not hold. Another "
            f"workspace's? Set register.model in {ws.params.name} to a name of this one's own. Forgotten? "
            "`selfparam promote N` first, a version that `selfparam status` lists."
        )
    if other := digests.in_the_place_of(ws, champion):
        raise ValueError(other)
    return champion.batch


def parent_of(ws: Workspace, batch: str) -> str:
    return batches.read(ws).batches[batch].parent


def check_base(ws: Workspace, params: Params) -> None:
    """Refuse another base once something was learnt: its teacher would speak to weights and memory of the old one."""
    made = ws.weights(BASE) / "provenance.json"
    settled = batches.read(ws).settled
    if not settled or not made.exists():
        return
    known = read_json(made)["model"]
    if known == params.base.model:
        return
    raise ValueError(
        f"{ws.params}: base.model is {params.base.model}, and {settled[-1]} was learnt on {known}. "
        "Put it back; or let `dvc repro` learn all batches again on the new base; or begin with it in a workspace of "
        "its own (`selfparam init`)."
    )


def check_settings(ws: Workspace, params: Params) -> None:
    """Refuse to register what other settings may have made than those that the round began with: each stage reads its
    own when it starts."""
    if read_params(ws).recorded() != params.recorded():
        raise ValueError(
            f"{ws.params} was changed while the round ran. Start again: the stages that it concerns run again, so that "
            "what is registered says how it was made."
        )


def check_room(ws: Workspace, batch: str) -> None:
    """Refuse to begin a batch whose version would not fit on the disk: better now than after an hour of learning."""
    if not ws.weights(BASE).exists() or ws.weights(batch).exists():
        return
    size = size_of(ws.weights(BASE))
    left = shutil.disk_usage(ws.root).free
    if left < COPIES * size:
        raise ValueError(
            f"the disk of {ws.root} has {left / 1e9:.1f} GB left, and a version takes {COPIES * size / 1e9:.1f} GB "
            "(data/weights, DVC's cache, the registry). Make room, then start again: nothing is lost."
        )


def stage(ws: Workspace, name: str, batch: str = BASE) -> None:
    """Bring one DVC stage up to date; its lines go to the log as they come."""
    title = f"{name} {batch}".removesuffix(f" {BASE}")
    step = name if batch == BASE else f"{name}@{batch}"
    started = time.monotonic()
    log.info("started", extra={"stage": title})
    dvc.run_stage(ws.root, step, lambda line: log.info(line, extra={"stage": title}))
    log.info("done in %.0f s", time.monotonic() - started, extra={"stage": title, "is_done": True})


def report_of(ws: Workspace, batch: str) -> BatchReport:
    """What validation decided."""
    return BatchReport.model_validate(read_json(ws.validated(batch) / "report.json"))


def nothing_to_learn(ws: Workspace, batch: str) -> str | None:
    """Why there is nothing to integrate of a batch that passed validation; None where there is something."""
    report = read_json(ws.qa(batch) / "report.json")
    if report["pairs"]:
        return None
    return (
        f"no question and answer could be written about {', '.join(report['without_pairs'])}, but what a probe asks. "
        "Take it in again with other `qa`; or set synthesize.endpoint, delete the batch under `rejected:` in "
        "batches.yaml, and run again"
    )


def leave_out(ws: Workspace, batch: str, reason: str) -> None:
    """Take a batch out of the graph of which nothing can be learnt; what it was stays in `rejected:`."""
    batches.write(ws, batches.read(ws).rejected_whole(batch, reason))
    log.info("%s was rejected whole: %s", batch, reason)


def metrics_of(ws: Workspace, version: str) -> dict[str, Any]:
    found: dict[str, Any] = read_json(ws.metrics(version))
    return found


def register(ws: Workspace, batch: str, params: Params) -> RegisteredVersion:
    """Record run and version in the tracker. Done twice it finds the version that is there."""
    title = f"register {batch}"
    started = time.monotonic()
    log.info("started", extra={"stage": title})
    version = register_version(ws, batch, parent_of(ws, batch), params.register_, params.recorded())
    took = time.monotonic() - started
    log.info("version %d, done in %.0f s", version.number, took, extra={"stage": title, "is_done": True})
    return version


def decide(ws: Workspace, batch: str, params: Params) -> Verdict:
    """The gate: this batch's version against the base and against the champion that it was learnt on top of."""
    parent = parent_of(ws, batch)
    champion = metrics_of(ws, parent) if parent != BASE else {}
    return gate.decide(metrics_of(ws, batch), metrics_of(ws, BASE), champion, params.gate)


def settle(
    ws: Workspace, version: RegisteredVersion, verdict: Verdict, params: Params, *, who: str, at: datetime
) -> None:
    """Write the verdict down: registry and journal first (idempotent), then `batches.yaml`, which ends the batch."""
    registry.settle(
        ws, params.register_, version.number, accepted=verdict.accepted, reasons=verdict.reasons, who=who, at=at
    )
    batches.write(ws, batches.read(ws).ended(version.batch, "accepted" if verdict.accepted else "refused"))
    said = "accepted" if verdict.accepted else "REFUSED"
    log.info("%s: the gate %s version %d", version.batch, said, version.number)
    for reason in verdict.reasons:
        log.info("  - %s", reason)


def keep_books(ws: Workspace, message: str, params: Params) -> None:
    """Commit the files that the round owns, where `run.commit` says so."""
    take_in(ws)
    if params.run.commit and git.commit(ws.root, message):
        log.info("committed: %s", message)
