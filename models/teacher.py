"""The teacher: the frozen model with the context in its prompt, run once per context.

Per target token only the last hidden state is kept. Times the output matrix it gives the teacher's full
distribution back exactly, at `width` numbers a token instead of `vocabulary` (80 times less for SmolLM2).

Axes: B sentences in a forward pass, L tokens, T answer tokens of one sentence, D width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.attention import SCORES, Prefix, RoomyLayer, fresh_cache
from models.contexts import answer_ids, beside, prompt_ids, shared_prefix
from models.model import LanguageModel


@dataclass(frozen=True)
class TargetSentence:
    """One text on which teacher and student are compared, with what the teacher thinks of it.

    `prompt` is the student's prompt (no context), `answer` the tokens that carry loss (end of turn included).
    `states_TD[t]` is the teacher's last hidden state *before* `answer[t]`: it predicts that token.
    `written` in [0, 1] is the share of the target distribution given to the written token itself
    (0 is the paper's pure KL; more where the writer knows better than the teacher).
    `evidence` is what of the context the teacher read once more, if it did.
    `origin` is the batch it was learnt in, or "unrelated"; `question` what the student is asked, as text.
    """

    question: str
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    states_TD: Tensor
    origin: str
    experience: str
    written: float = 0.0
    evidence: str | None = None


def target_sentences(
    teacher: LanguageModel,
    context: str | None,
    pairs: Sequence[tuple[str, str]],
    *,
    origin: str,
    experience: str = "",
    evidence: Sequence[str | None] | None = None,
    written: Sequence[float] | None = None,
) -> list[TargetSentence]:
    """Run `teacher` with `context` over (question, answer) pairs; without a context the two see the same prompt.

    `evidence` is what of the context each pair rests on: the teacher reads it once more, next to the question.
    The tokens that all prompts of `context` begin with go through the model once; their key-value cache
    serves every pair.
    """
    evidence = evidence or [None] * len(pairs)
    answers = [answer_ids(teacher.tokenizer, answer) for _, answer in pairs]
    asked = []
    for (question, _), answer, proof in zip(pairs, answers, evidence, strict=True):
        ids = prompt_ids(teacher.tokenizer, question, beside(context, proof) if context else context)
        if proof and teacher.window and len(ids) + len(answer) > teacher.window:  # once is enough where room is short
            ids = prompt_ids(teacher.tokenizer, question, context)
        asked.append(ids)
    return [
        TargetSentence(
            question=question,
            prompt=tuple(prompt_ids(teacher.tokenizer, question)),
            answer=tuple(answer),
            states_TD=states_TD,
            origin=origin,
            experience=experience,
            written=share,
            evidence=proof,
        )
        for (question, _), answer, states_TD, share, proof in zip(
            pairs, answers, states_after(teacher, asked, answers), written or [0.0] * len(pairs), evidence, strict=True
        )
    ]


@torch.no_grad()
def states_after(
    lm: LanguageModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], *, batch_tokens: int = 4096
) -> list[Tensor]:
    """The last hidden state that predicts each answer token, one [T, D] tensor a sequence, on the CPU.

    What all prompts begin with is run once. Right padding cannot be seen by what stands before it.
    `batch_tokens` bounds the tokens, padding included, of one forward pass; after a long beginning `SCORES` does.
    """
    if not prompts:
        return []
    prefix = read_prefix(lm, prompts)
    shared = prefix.length if prefix else 0
    # The last answer token predicts nothing that we need, so it is not run.
    tails = [[*p[shared:], *a[:-1]] for p, a in zip(prompts, answers, strict=True)]
    batch_tokens = min(batch_tokens, SCORES // (shared + max(map(len, tails))))
    states: list[Tensor | None] = [None] * len(tails)
    for rows in batches_by_length([len(t) for t in tails], batch_tokens):
        longest = max(len(tails[i]) for i in rows)
        ids_BL = torch.full((len(rows), longest), lm.tokenizer.pad_token_id)
        seen_BL = torch.zeros(len(rows), longest, dtype=torch.long)
        for row, i in enumerate(rows):
            ids_BL[row, : len(tails[i])] = torch.tensor(tails[i])
            seen_BL[row, : len(tails[i])] = 1
        positions_BL = torch.arange(shared, shared + longest).expand(len(rows), -1)
        hidden_BLD = lm.hidden_BLD(
            input_ids=ids_BL.to(lm.device),
            attention_mask=seen_BL.to(lm.device),
            position_ids=positions_BL.to(lm.device),
            prefix=prefix,
            use_cache=False,
        )
        for row, i in enumerate(rows):
            # answer[0] is predicted by the last prompt token, answer[t] by answer[t-1].
            first = len(prompts[i]) - shared - 1
            states[i] = hidden_BLD[row, first : first + len(answers[i])].to("cpu", copy=True)
    return [s for s in states if s is not None]


def read_prefix(lm: LanguageModel, prompts: Sequence[Sequence[int]]) -> Prefix | None:
    """Run what all prompts begin with once and keep its keys and values; None where there is one prompt alone."""
    ids = prompts[0][: shared_prefix(prompts)] if len(prompts) > 1 else ()
    if not ids:
        return None
    cache = fresh_cache()
    lm.hidden_BLD(input_ids=torch.tensor([list(ids)], device=lm.device), past_key_values=cache, use_cache=True)
    kept = [layer.states() for layer in cache.layers if isinstance(layer, RoomyLayer)]
    return Prefix(length=len(ids), keys=tuple(k[0] for k, _ in kept), values=tuple(v[0] for _, v in kept))


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices grouped so that sequences of like length run together and padding stays small."""
    group: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if group and lengths[group[0]] * (len(group) + 1) > batch_tokens:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
