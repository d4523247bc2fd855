"""The stage `integrate`: a parent's weights and a batch's pairs in, the weights that know the batch out.

Killed, it goes on from what lies outside DVC's outputs (`data/.work/<batch>/`): its checkpoint, and what the teacher
said of each experience. That is read from there while the student learns, so a batch's states need no memory.

Run it: `selfparam stage integrate b0001 --parent b0000`.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from importlib import metadata

import pandas as pd
import torch

from models import integrate as core
from models import locality, model
from models.configs import IntegrateConfig
from models.files import write_json, written_aside
from models.integrate import StepLog
from models.memory import UNRELATED, load_sentences, save_sentences, within_budget, without_superseded
from models.model import LanguageModel
from models.records import Experience, HistoryEntry, QAPair, read_records
from models.retention import STRATEGIES, anchored
from models.rollouts import Rollouts
from models.synthesize import LOCALITY, SELF, Leak
from models.teacher import TargetSentence, target_sentences
from tasks.workspace import BASE, Workspace

log = logging.getLogger("selfparam")


def integrate(ws: Workspace, batch: str, parent: str, config: IntegrateConfig, seed: int) -> None:
    """Write weights, memory and the training log of `batch`. Same inputs, same machine: the same bytes."""
    experiences = read_records(ws.validated(batch) / "experiences.jsonl", Experience)
    pairs = read_records(ws.qa(batch) / "pairs.jsonl", QAPair)
    teacher = model.load(ws.weights(BASE), fused_kernels=not config.compiled)
    matrix_VD = teacher.output_matrix_VD.detach()
    scratch, fingerprint = ws.work(batch), _fingerprint(ws, batch, parent, config, seed)
    near = near_misses(teacher, pairs, batch) if config.locality_batch else []
    new: list[TargetSentence] = []
    for number, experience in enumerate(experiences, start=1):
        states = scratch / f"taught-{fingerprint}" / f"{number:06d}"
        if not states.exists():
            save_sentences(states, taught(teacher, experience, pairs, batch, config))
        new += load_sentences(states)  # its states stay on the disk until they are used
        log.info("integrate %s: teacher has read %d/%d", batch, number, len(experiences))
    remembered = load_sentences(ws.memory(parent))
    unrelated = [s for s in remembered if s.origin == UNRELATED]
    history = read_records(ws.validated(batch) / "history.jsonl", HistoryEntry)
    probed = Leak([p.question for entry in history for p in entry.experience.probes])
    lessons = [s for s in remembered if s.origin != UNRELATED and not probed.holds(s.question)]  # a probe came later
    kept = without_superseded(lessons, new)
    student = model.load(ws.weights(parent), fused_kernels=not config.compiled)
    replay = STRATEGIES[config.retention](kept, student, matrix_VD)
    log.info(
        "integrate %s: %d new sentences, %d of %d replayed, %d unrelated, %d near misses",
        batch, len(new), len(replay), len(kept), len(unrelated), len(near),
    )  # fmt: skip

    checkpoint = scratch / f"checkpoint-{fingerprint}.pt"
    rows = core.integrate(
        student,
        matrix_VD,
        {"new": new, "unrelated": unrelated, "replay": replay, "locality": near},
        config,
        seed=seed,
        rollouts=on_policy(teacher, experiences, config),
        checkpoint=checkpoint,
        on_step=lambda row: _say(batch, row),
    )
    stored = _stored_dtype(ws)
    if torch.finfo(stored).eps < torch.finfo(teacher.model.dtype).eps:  # computed in fewer bits than are stored
        unrounded(student, model.load(ws.weights(parent), dtype=stored), teacher.model.dtype)
        teacher = model.load(ws.weights(BASE), dtype=stored)
    anchored(student, teacher, config.anchor)
    with written_aside(ws.training(batch)) as aside:
        pd.DataFrame(rows).to_csv(aside, index=False)
    save_sentences(ws.memory(batch), [*unrelated, *within_budget([*kept, *new], config.replay_budget, seed=seed)])
    model.save(student.model, student.tokenizer, ws.weights(batch), dtype=stored)
    write_json(
        ws.weights(batch) / "provenance.json",
        {
            "version": batch,
            "parent": parent,
            "batch_digest": hashlib.sha256((ws.validated(batch) / "experiences.jsonl").read_bytes()).hexdigest(),
            "pairs": len(pairs),
            "seed": seed,
            "params": config.model_dump(mode="json"),
            "code_version": metadata.version("selfparam"),
            "final": {k: v for k, v in rows[-1].items() if k != "tokens_per_second"},
        },
    )
    shutil.rmtree(scratch, ignore_errors=True)


def taught(
    teacher: LanguageModel, experience: Experience, pairs: Sequence[QAPair], batch: str, config: IntegrateConfig
) -> list[TargetSentence]:
    """The pairs to learn about one experience as target sentences, with the settings' evidence and written shares."""
    mine = [p for p in pairs if p.experience == experience.id and p.kind != LOCALITY]
    return target_sentences(
        teacher,
        experience.text,
        [(p.question, p.answer) for p in mine],
        origin=batch,
        experience=experience.id,
        evidence=[p.evidence if config.evidence else None for p in mine],
        written=[config.written_share_self if p.writer == SELF else config.written_share_given for p in mine],
    )


def near_misses(teacher: LanguageModel, pairs: Sequence[QAPair], batch: str) -> list[TargetSentence]:
    """The pairs that are not to be learnt, as target sentences."""
    beside = [(p.question, p.answer) for p in pairs if p.kind == LOCALITY]
    return locality.held(teacher, beside, origin=batch)


def on_policy(teacher: LanguageModel, experiences: Sequence[Experience], config: IntegrateConfig) -> Rollouts | None:
    """What lets the student write a share of the sentences; None where the settings ask for none."""
    contexts = {experience.id: experience.text for experience in experiences}
    return Rollouts(teacher, contexts, config.on_policy, config.on_policy_tokens) if config.on_policy else None


@torch.no_grad()
def unrounded(student: LanguageModel, parent: LanguageModel, dtype: torch.dtype) -> None:
    """Give `student`, in place, back what was rounded away of its `parent` where it learnt in `dtype`: what no lesson
    changed is then the parent's, bit for bit."""
    theirs = dict(parent.model.named_parameters())
    for name, mine in student.model.named_parameters():
        exact = theirs[name].to(mine.device)
        mine += exact - exact.to(dtype)  # fewer bits than a float32 has: nothing is rounded here


def _stored_dtype(ws: Workspace) -> torch.dtype:
    return getattr(torch, json.loads((ws.weights(BASE) / "config.json").read_text())["dtype"])


def _fingerprint(ws: Workspace, batch: str, parent: str, config: IntegrateConfig, seed: int) -> str:
    """Of everything that checkpoint and states depend on: those of other inputs or other code are never taken up."""
    inputs = [
        (ws.validated(batch) / "experiences.jsonl").read_bytes(),
        (ws.qa(batch) / "pairs.jsonl").read_bytes(),
        (ws.memory(parent) / "sentences.jsonl").read_bytes(),
        (ws.weights(parent) / "provenance.json").read_bytes(),
        config.model_dump_json().encode(),
        str(seed).encode(),
        metadata.version("selfparam").encode(),
    ]
    return hashlib.sha256(b"\0".join(hashlib.sha256(i).digest() for i in inputs)).hexdigest()[:16]


def _say(batch: str, row: StepLog) -> None:
    parts = " ".join(f"{k} {v:.3f}" for k, v in row.items() if k.startswith("kl_"))
    log.info(
        "integrate %s step %d/%d loss %.3f %s %.0f tokens/s",
        batch, row["step"], row["steps"], row["loss"], parts, row["tokens_per_second"],
    )  # fmt: skip
