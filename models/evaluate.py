"""Measuring a version: its answers to probes, its general ability, how far it moved on unrelated text.

Knows no file and no batch order; `tasks.evaluate` brings those.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models import metrics
from models.answers import answer, log_likelihoods, of_states
from models.configs import EvaluateConfig
from models.kl import kl_from_states
from models.locality import MEASURED, near_miss
from models.model import LanguageModel
from models.records import Answer, Probe, Reply
from models.teacher import TargetSentence, states_after, target_sentences

log = logging.getLogger("selfparam")

MEASURES = ("f1", "exact", "contains", "log_likelihood")


@dataclass(frozen=True)
class Question:
    """A probe with where it comes from; `context` is given for the open book only, `right_now` where a later batch
    has superseded its answers."""

    batch: str
    experience: str
    probe: Probe
    context: str | None = None
    right_now: tuple[str, ...] = ()


def answer_probes(
    lm: LanguageModel, questions: Sequence[Question], config: EvaluateConfig, *, name: str = "probes"
) -> list[Answer]:
    """Answer every question greedily and score it; the log-likelihood is that of its likeliest gold answer."""
    asked = [q.probe.question for q in questions]
    contexts = [q.context for q in questions]
    said = answer(
        lm,
        asked,
        contexts,
        max_new_tokens=config.max_new_tokens,
        batch_size=config.batch_size,
        report=lambda done, total: log.info("evaluate %s: %d/%d answered", name, done, total),
    )
    best = [-math.inf] * len(questions)
    for context in dict.fromkeys(contexts):  # each is read once
        golds = [(i, gold) for i, q in enumerate(questions) if q.context == context for gold in q.probe.answers]
        likely = log_likelihoods(lm, [asked[i] for i, _ in golds], [gold for _, gold in golds], [context] * len(golds))
        for (i, _), value in zip(golds, likely, strict=True):
            best[i] = max(best[i], value)
    return [
        Answer(
            batch=q.batch,
            experience=q.experience,
            question=q.probe.question,
            answers=q.probe.answers,
            kind=q.probe.kind,
            answer=text,
            f1=metrics.f1(text, q.probe.answers),
            exact=metrics.exact(text, q.probe.answers),
            contains=metrics.contains(text, q.probe.answers),
            log_likelihood=logp,
        )
        for q, text, logp in zip(questions, said, best, strict=True)
    ]


def neighbours(questions: Sequence[Question], spoken_of: str) -> list[Question]:
    """A near miss of each question that has one (`models.locality`), with the answers that must *not* be given to it.

    `spoken_of` is what the batch says: no name of it is put in.
    """
    names = [name for name in MEASURED if name not in spoken_of]
    misses = {near_miss(q.probe.question, "", names, spoken_of): q for q in questions}
    return [
        Question(q.batch, q.experience, Probe(question=miss[0], answers=q.probe.answers, kind="locality"))
        for miss, q in misses.items()
        if miss
    ]


def locality(
    base: LanguageModel, lm: LanguageModel, said_by_base: Sequence[Answer], said: Sequence[Answer]
) -> dict[str, float | None]:
    """How far a version leaks onto the neighbours of what it learnt.

    `leak` and `leak_base`: share of near misses answered with what is true of the neighbour alone, in [0, 1].
    `log_likelihood_gain`: by how much that became likelier as their answer, in nats per token; quieter than `leak`.
    `kl_from_base`: mean KL(base || lm) on the base's own answers to them, in nats per token; None where it has none.
    """
    return {
        "probes": len(said),
        "leak": containment(said),
        "leak_base": containment(said_by_base),
        "log_likelihood_gain": sum(a.log_likelihood - b.log_likelihood for a, b in zip(said, said_by_base, strict=True))
        / len(said),
        "kl_from_base": kl_from_base(lm, base.output_matrix_VD.detach(), as_sentences(base, said_by_base)),
    }


def as_sentences(base: LanguageModel, said_by_base: Sequence[Reply]) -> list[TargetSentence]:
    """What the base itself answered, but where it said nothing, with its states: that on which others are compared."""
    return target_sentences(base, None, [(r.question, r.answer) for r in said_by_base if r.answer], origin="answers")


def kl_from_base(lm: LanguageModel, base_matrix_VD: Tensor, sentences: Sequence[TargetSentence]) -> float | None:
    """Mean KL(base || lm) over sentences with the base's states, in nats per token; None where there are none."""
    return divergence(lm, base_matrix_VD, sentences)[1].mean().item() if sentences else None


def mean_scores(answers: Sequence[Answer]) -> dict[str, float] | None:
    """Mean of every measure over answers; None where there are none."""
    if not answers:
        return None
    return {m: sum(getattr(a, m) for a in answers) / len(answers) for m in MEASURES}


def answer_facts(
    lm: LanguageModel, facts: Sequence[tuple[str, tuple[str, ...]]], config: EvaluateConfig
) -> list[Reply]:
    """Answer simple facts (question, gold answers) greedily, at more length than probes."""
    said = answer(
        lm,
        [question for question, _ in facts],
        max_new_tokens=config.general_tokens,
        batch_size=config.batch_size,
        report=lambda done, total: log.info("evaluate general ability: %d/%d answered", done, total),
    )
    return [
        Reply(question=question, answers=golds, answer=text, contains=metrics.contains(text, golds))
        for (question, golds), text in zip(facts, said, strict=True)
    ]


def containment(answers: Sequence[Reply]) -> float:
    """Share of answers that hold a gold answer, in [0, 1]; there must be some."""
    return sum(a.contains for a in answers) / len(answers)


def turned(before: Sequence[Reply], now: Sequence[Reply]) -> dict[str, int]:
    """Of the same questions: how many are `lost`, right before and not now, and how many are `won`."""
    pairs = [(b.contains, n.contains) for b, n in zip(before, now, strict=True)]
    return {"lost": sum(b > n for b, n in pairs), "won": sum(b < n for b, n in pairs)}


def unrelated_text(lm: LanguageModel, base_matrix_VD: Tensor, sentences: Sequence[TargetSentence]) -> dict[str, float]:
    """`perplexity` on unrelated text and `kl_from_base`, mean KL(base || lm) in nats per token (0 for the base)."""
    states, kl_N = divergence(lm, base_matrix_VD, sentences)
    return {"perplexity": perplexity(lm, states, sentences), "kl_from_base": kl_N.mean().item()}


def perplexity(lm: LanguageModel, states: Sequence[Tensor], sentences: Sequence[TargetSentence]) -> float:
    """Of the sentences' answers, from the [T, D] hidden states with which `lm` predicts each."""
    return math.exp(-torch.cat(of_states(lm, states, [s.answer for s in sentences])).mean().item())


@torch.no_grad()
def divergence(
    lm: LanguageModel, teacher_matrix_VD: Tensor, sentences: Sequence[TargetSentence]
) -> tuple[list[Tensor], Tensor]:
    """`lm`'s hidden states, [T, D] a sentence, and KL(target || lm) at each token of all of them, in nats."""
    states = states_after(lm, [s.prompt for s in sentences], [s.answer for s in sentences])
    own_ND = torch.cat(states).to(lm.device)
    _, kl_N = kl_from_states(
        own_ND,
        lm.output_matrix_VD.detach(),
        torch.cat([s.states_TD for s in sentences]).to(lm.device, own_ND.dtype),
        teacher_matrix_VD,
        token_N=torch.tensor([t for s in sentences for t in s.answer], device=lm.device),
        written_N=torch.tensor([s.written for s in sentences for _ in s.answer], device=lm.device),
        weight_N=torch.ones(len(own_ND), device=lm.device),
    )
    return states, kl_N.cpu()


def relative_l2(lm: LanguageModel, base: LanguageModel) -> float:
    """Distance of the weights from the base's, divided by the norm of the base's; 0 for the base."""
    moved = norm = 0.0
    for mine, theirs in zip(lm.model.parameters(), base.model.parameters(), strict=True):
        moved += (mine.float() - theirs.float()).square().sum().item()
        norm += theirs.float().square().sum().item()
    return math.sqrt(moved / norm)
