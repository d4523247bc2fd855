"""Answering and scoring: batched greedy generation with a key-value cache, and the likelihood of gold answers.

Deterministic: no sampling here. Axes: B questions in a batch, L tokens, T answer tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch

from models.attention import SCORES, Prefix, fresh_cache
from models.contexts import answer_ids, prompt_ids
from models.kl import CHUNK
from models.model import LanguageModel
from models.teacher import read_prefix, states_after

Report = Callable[[int, int], None]


@torch.inference_mode()
def generate(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int = 48,
    batch_size: int = 32,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    stops: frozenset[int] = frozenset(),
    report: Report | None = None,
) -> list[str]:
    """Continue each prompt until the end of the turn; greedy at temperature 0, else sampled with `generator`.

    A text also ends after a token of `stops`. What all prompts begin with is run once. Prompts of like length run
    together, padded on the left, fewer of long ones (`SCORES`); a row whose text has ended leaves the batch.
    `report(done, total)` is called after each batch.
    """
    texts = [""] * len(prompts)
    if not prompts:
        return texts
    prefix = read_prefix(lm, prompts)
    shared = prefix.length if prefix else 0
    by_length = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    start = 0
    while start < len(prompts):
        longest = len(prompts[by_length[start]]) - shared
        rows = by_length[start : start + max(1, min(batch_size, SCORES // (longest * (shared + longest))))]
        tails = [prompts[i][shared:] for i in rows]
        ends = _continue(lm, tails, prefix, max_new_tokens, temperature, generator, stops)
        for i, ids in zip(rows, ends, strict=True):
            text = lm.tokenizer.decode(ids, skip_special_tokens=True)
            assert isinstance(text, str)
            texts[i] = text.strip()
        start += len(rows)
        if report:
            report(start, len(prompts))
    return texts


def _continue(
    lm: LanguageModel,
    tails: Sequence[Sequence[int]],
    prefix: Prefix | None,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator | None,
    stops: frozenset[int],
) -> list[list[int]]:
    longest = max(len(t) for t in tails)
    ids_BL = torch.full((len(tails), longest), lm.tokenizer.pad_token_id)
    seen_BL = torch.zeros(len(tails), longest, dtype=torch.long)
    for row, tail in enumerate(tails):  # padded on the left: every prompt ends where its answer begins
        ids_BL[row, longest - len(tail) :] = torch.tensor(tail)
        seen_BL[row, longest - len(tail) :] = 1
    ids_BL, seen_BL = ids_BL.to(lm.device), seen_BL.to(lm.device)
    positions_BL = (prefix.length if prefix else 0) + (seen_BL.cumsum(-1) - 1).clamp_min(0)
    cache, ends = fresh_cache(), lm.end_ids
    written: list[list[int]] = [[] for _ in tails]
    rows = list(range(len(tails)))  # which prompt each row of the batch goes on with
    alive = set(rows)
    for _ in range(max_new_tokens):
        hidden_BLD = lm.hidden_BLD(
            input_ids=ids_BL,
            attention_mask=seen_BL,
            position_ids=positions_BL,
            past_key_values=cache,
            prefix=prefix,
            use_cache=True,
        )
        logits_BV = (hidden_BLD[:, -1] @ lm.output_matrix_VD.T).float()
        next_B = drawn((logits_BV / temperature).softmax(-1), generator) if temperature else logits_BV.argmax(-1)
        for row, token in zip(rows, next_B.tolist(), strict=True):
            if row not in alive:
                continue
            if token not in ends:
                written[row].append(token)
            if token in ends or token in stops:
                alive.discard(row)
        if not alive:
            break
        ids_BL = next_B[:, None]
        seen_BL = torch.cat([seen_BL, seen_BL.new_ones(len(rows), 1)], dim=-1)
        positions_BL = positions_BL[:, -1:] + 1
        if len(alive) <= 0.75 * len(rows):  # what has ended is no longer carried along
            kept = [at for at, row in enumerate(rows) if row in alive]
            rows = [rows[at] for at in kept]
            kept_B = torch.tensor(kept, device=lm.device)
            cache.batch_select_indices(kept_B)
            ids_BL, seen_BL, positions_BL = ids_BL[kept_B], seen_BL[kept_B], positions_BL[kept_B]
    return written


def drawn(probability_NV: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """An index for each row, [N], drawn with its probability; `torch.multinomial` takes many times as long.

    The generator may be of another device than the probabilities.
    """
    sums_NV = probability_NV.cumsum(-1)
    chance_N1 = torch.rand(len(sums_NV), 1, generator=generator, device=generator.device if generator else None)
    at_N1 = sums_NV[:, -1:] * chance_N1.to(sums_NV.device)
    return torch.searchsorted(sums_NV, at_N1)[:, 0].clamp_max(sums_NV.shape[1] - 1)


def answer(
    lm: LanguageModel,
    questions: Sequence[str],
    contexts: Sequence[str | None] | None = None,
    *,
    max_new_tokens: int = 48,
    batch_size: int = 32,
    report: Report | None = None,
) -> list[str]:
    """Greedy answers; closed book without `contexts`, open book with one context a question."""
    contexts = contexts or [None] * len(questions)
    prompts = [prompt_ids(lm.tokenizer, q, c) for q, c in zip(questions, contexts, strict=True)]
    return generate(lm, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size, report=report)


def log_likelihoods(
    lm: LanguageModel,
    questions: Sequence[str],
    answers: Sequence[str],
    contexts: Sequence[str | None] | None = None,
) -> list[float]:
    """Mean log-probability of each answer's tokens (end of turn left out) in nats per token, <= 0.

    Higher is better. Continuous and quiet where a generated answer over few probes is mostly noise.
    """
    contexts = contexts or [None] * len(questions)
    prompts = [prompt_ids(lm.tokenizer, q, c) for q, c in zip(questions, contexts, strict=True)]
    targets = [answer_ids(lm.tokenizer, a)[:-1] for a in answers]
    return [float(logp_T.mean()) for logp_T in token_log_probabilities(lm, prompts, targets)]


@torch.inference_mode()
def token_log_probabilities(
    lm: LanguageModel, prompts: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """The log-probability of every target token after its prompt, one float32 [T] tensor a sequence."""
    return of_states(lm, states_after(lm, prompts, targets), targets)


@torch.inference_mode()
def of_states(
    lm: LanguageModel, states: Sequence[torch.Tensor], targets: Sequence[Sequence[int]]
) -> list[torch.Tensor]:
    """The log-probability of every target token from the [T, D] hidden states that predict it."""
    if not states:
        return []
    states_ND, token_N = torch.cat(list(states)), torch.tensor([t for target in targets for t in target])
    logp_N = torch.empty(len(states_ND))
    for start in range(0, len(states_ND), CHUNK):  # few rows at a time would read the output matrix for each few
        part = slice(start, start + CHUNK)
        logits_CV = (states_ND[part].to(lm.device) @ lm.output_matrix_VD.T).float()
        logp_N[part] = logits_CV.log_softmax(-1).gather(1, token_N[part, None].to(lm.device))[:, 0].cpu()
    return list(logp_N.split([len(target) for target in targets]))
