"""Ways to put knowledge into the weights, side by side: the same data, the same model, as many steps.

    python -m benchmarks.methods contexts.jsonl --records 8 --workspace folder

FT(C) is cross-entropy on the contexts, FT(S) cross-entropy on the answers of the pairs; neither sees other text. The
published objective is KL(teacher || student) on pairs and unrelated text. The default adds the evidence beside the
question, a share of the written token, measured curvature and the way back to the base; the last three rows train all
weights, or add near misses, or sentences of the student's own. The others train what the settings say (LoRA, merged, by
default): which of the two wins is a matter of the model's size, so ask it of yours.
"""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.__main__ import changed, prepared
from benchmarks.lessons import probes_of
from benchmarks.machine import described, parser
from flows.settings import section
from models import model
from models.configs import EvaluateConfig, IntegrateConfig, SynthesizeConfig
from models.course import NEW, Course
from models.evaluate import answer_facts, answer_probes, containment, locality, neighbours, unrelated_text
from models.integrate import integrate
from models.memory import load_sentences
from models.model import LanguageModel
from models.records import Answer, Experience, QAPair, read_records
from models.retention import anchored
from models.rollouts import Rollouts
from models.synthesize import LOCALITY, Leak, synthesize
from models.synthesize import neighbours as pairs_about_others
from models.teacher import TargetSentence
from tasks.bundle import general_facts
from tasks.evaluate import efficacy
from tasks.integrate import near_misses, on_policy, taught
from tasks.workspace import BASE, Workspace

Groups = dict[str, Sequence[TargetSentence]]


class Lesson(NamedTuple):
    """What all methods start from."""

    base: LanguageModel
    experiences: Sequence[Experience]
    pairs: Sequence[QAPair]
    unrelated: Sequence[TargetSentence]
    config: IntegrateConfig


class Trained(NamedTuple):
    """The sentences of a method, and the settings that it is trained with."""

    groups: Groups
    config: IntegrateConfig
    rollouts: Rollouts | None = None


def fine_tuned_on_contexts(lesson: Lesson) -> Trained:
    """FT(C): the next token of the contexts, in as many steps as the default takes."""
    tokenizer = lesson.base.tokenizer
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    sentences = [
        _by_cross_entropy(lesson, "", (start,), tokenizer(e.text, add_special_tokens=False).input_ids)
        for e in lesson.experiences
    ]
    learnt = len([p for p in lesson.pairs if p.kind != LOCALITY])
    steps = Course({NEW: learnt}, {}, lesson.config, seed=0).most_steps
    batch = min(len(sentences), max(1, lesson.config.batch_size // 4))  # contexts are long: as many tokens a step
    epochs = math.ceil(steps / math.ceil(len(sentences) / batch))
    config = lesson.config.model_copy(update={"batch_size": batch, "epochs": epochs, "anchor": 0.0})
    return Trained({"new": sentences}, config)


def fine_tuned_on_sentences(lesson: Lesson) -> Trained:
    """FT(S): the next token of the written answers, from their questions."""
    sentences = _taught(lesson, lesson.config)
    config = lesson.config.model_copy(update={"anchor": 0.0})
    return Trained({"new": [replace(s, written=1.0) for s in sentences]}, config)


def as_published(lesson: Lesson) -> Trained:
    """SELF-PARAM's own objective: the pure KL, the teacher reads the context and no more."""
    pure = {"evidence": False, "written_share_self": 0.0, "written_share_given": 0.0}
    pure |= {"anchor": 0.0, "curvature_tokens": 0}
    config = lesson.config.model_copy(update=pure)
    return Trained({"new": _taught(lesson, config), "unrelated": lesson.unrelated}, config)


def as_by_default(lesson: Lesson) -> Trained:
    """What the settings say."""
    groups: Groups = {"new": _taught(lesson, lesson.config), "unrelated": lesson.unrelated}
    return Trained(groups, lesson.config)


def all_weights(lesson: Lesson) -> Trained:
    """The default, on all weights in place of LoRA, at the rate of its own."""
    groups, config, _ = as_by_default(lesson)
    return Trained(groups, config.model_copy(update={"method": "full", "learning_rate": None}))


def with_near_misses(lesson: Lesson) -> Trained:
    """The default, and three near misses a step, on which the student is to stay what the base is."""
    groups, config, _ = as_by_default(lesson)
    beside = near_misses(lesson.base, lesson.pairs, LOCALITY)
    return Trained({**groups, "locality": beside}, config.model_copy(update={"locality_batch": 3}))


def half_on_policy(lesson: Lesson) -> Trained:
    """The default, where half of the sentences are written by the student, anew for each pass after the first."""
    groups, config, _ = as_by_default(lesson)
    config = config.model_copy(update={"on_policy": 0.5})
    return Trained(groups, config, on_policy(lesson.base, lesson.experiences, config))


METHODS: dict[str, Callable[[Lesson], Trained]] = {
    "FT(C): cross-entropy on contexts": fine_tuned_on_contexts,
    "FT(S): cross-entropy on answers": fine_tuned_on_sentences,
    "SELF-PARAM as published": as_published,
    "default": as_by_default,
    "default, all weights": all_weights,
    "default, near misses": with_near_misses,
    "default, half on-policy": half_on_policy,
}
COLUMNS = (
    "method", "contains", "F1", "log-likelihood", "recovered gap (95 %)", "leak", "general", "KL from base", "seconds",
)  # fmt: skip


def main() -> None:
    """Train every method from the base and print a table in Markdown."""
    options = parser("benchmarks.methods", __doc__)
    options.add_argument("file", type=Path, help="experience file with probes; pairs are taken from it or written")
    options.add_argument("--records", type=int, help="only the first so many records")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="a setting to change")
    options.add_argument("--only", choices=METHODS, action="append", help="this method (may be said again)")
    options.add_argument("--workspace", type=Path, help="folder whose base is used, or made (default: a temporary one)")
    arguments = options.parse_args()
    experiences = read_records(arguments.file, Experience)[: arguments.records]
    params = changed(arguments.set, arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        ws = prepared(Workspace((arguments.workspace or Path(scratch)).resolve()), params)
        print(f"{described(arguments)}\n{len(experiences)} records, settings {params}\n", flush=True)
        table(ws, experiences, arguments.only or list(METHODS), arguments.seed)


def table(ws: Workspace, experiences: Sequence[Experience], methods: Sequence[str], seed: int) -> None:
    """Print a row for the open book, the base, and each of `methods`."""
    settings = section(ws, "integrate", IntegrateConfig)
    base = model.load(ws.weights(BASE), fused_kernels=not settings.compiled)
    unrelated, held_out = load_sentences(ws.memory(BASE)), load_sentences(ws.evaluation(BASE) / "unrelated")
    pairs = _pairs(ws, base, experiences, seed)
    lesson = Lesson(base, experiences, pairs, unrelated, settings)
    config = section(ws, "evaluate", EvaluateConfig)
    probes = probes_of(experiences)
    near = neighbours(probes, " ".join(e.text for e in experiences))
    opened, before, near_base = (
        answer_probes(base, asked, config) for asked in (probes_of(experiences, open_book=True), probes, near)
    )

    def row(name: str, lm: LanguageModel, answers: Sequence[Answer], seconds: str) -> None:
        found = efficacy(opened, before, before, answers, seed=seed)
        scores = found["closed_book"]
        low, high = found["recovered_gap_interval"] or (math.nan, math.nan)
        leak = locality(base, lm, near_base, answer_probes(lm, near, config))["leak"] if near else math.nan
        general = containment(answer_facts(lm, general_facts(), config))
        kl = unrelated_text(lm, base.output_matrix_VD.detach(), held_out)["kl_from_base"]
        cells = [
            name, f"{scores['contains']:.3f}", f"{scores['f1']:.3f}", f"{scores['log_likelihood']:.2f}",
            f"{math.nan if found['recovered_gap'] is None else found['recovered_gap']:.2f} ({low:.2f} to {high:.2f})",
            f"{leak:.2f}", f"{general:.2f}", f"{kl:.3f}", seconds,
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)

    learnt = sum(p.kind != LOCALITY for p in lesson.pairs)
    print(f"{len(probes)} probes, {len(near)} near misses, {learnt} pairs\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    row("open book", base, opened, "-")
    row("base, closed book", base, before, "-")
    for name in methods:
        student, started = model.load(ws.weights(BASE), fused_kernels=not settings.compiled), time.monotonic()
        groups, own, rollouts = METHODS[name](lesson)
        integrate(student, base.output_matrix_VD.detach(), groups, own, seed=seed, rollouts=rollouts)
        anchored(student, base, own.anchor)
        student.model.to(base.model.dtype)  # type: ignore[arg-type]  # its decorator hides what it takes
        seconds = time.monotonic() - started
        row(name, student, answer_probes(student, probes, config), f"{seconds:.0f}")


def _pairs(ws: Workspace, base: LanguageModel, experiences: Sequence[Experience], seed: int) -> list[QAPair]:
    config, facts = section(ws, "synthesize", SynthesizeConfig), [question for question, _ in general_facts()]
    pairs = synthesize(base, experiences, config, seed=seed, forbidden=facts)
    leak = Leak.of(experiences, facts)
    return pairs + (pairs_about_others(experiences, pairs, leak) if config.locality else [])


def _taught(lesson: Lesson, config: IntegrateConfig) -> list[TargetSentence]:
    return [s for e in lesson.experiences for s in taught(lesson.base, e, lesson.pairs, "new", config)]


def _by_cross_entropy(lesson: Lesson, question: str, prompt: Sequence[int], target: Sequence[int]) -> TargetSentence:
    """All of the target is the written token: what a teacher would say does not count."""
    width = lesson.base.output_matrix_VD.shape[1]
    states_TD: Tensor = torch.zeros(len(target), width, dtype=lesson.base.model.dtype)
    return TargetSentence(question, tuple(prompt), tuple(target), states_TD, "new", "", written=1.0)


if __name__ == "__main__":
    main()
