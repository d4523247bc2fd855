"""Answering and scoring: batched greedy generation with a key-value cache, and the likelihood of gold answers.

Deterministic: no sampling here. Axes: B questions in a batch, L tokens, T answer tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch

from models.contexts import answer_ids, prompt_ids
from models.model import LanguageModel
from models.teacher import batches_by_length, states_after

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
    report: Report | None = None,
) -> list[str]:
    """Continue each prompt until the end of the turn; greedy at temperature 0, else sampled with `generator`.

    Prompts of like length run together, padded on the left. `report(done, total)` is called after each batch.
    """
    texts = [""] * len(prompts)
    done = 0
    longest = max((len(p) for p in prompts), default=1)
    for rows in batches_by_length([len(p) for p in prompts], batch_size * longest):
        for group in (rows[i : i + batch_size] for i in range(0, len(rows), batch_size)):
            continued = _continue(lm, [prompts[i] for i in group], max_new_tokens, temperature, generator)
            for i, ids in zip(group, continued, strict=True):
                texts[i] = lm.tokenizer.decode(ids, skip_special_tokens=True).strip()
            done += len(group)
            if report:
                report(done, len(prompts))
    return texts


def _continue(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator | None,
) -> list[list[int]]:
    stop = lm.tokenizer.eos_token_id
    longest = max(len(p) for p in prompts)
    ids_BL = torch.full((len(prompts), longest), lm.tokenizer.pad_token_id)
    seen_BL = torch.zeros_like(ids_BL)
    for row, prompt in enumerate(prompts):  # padded on the left: every prompt ends where its answer begins
        ids_BL[row, longest - len(prompt) :] = torch.tensor(prompt)
        seen_BL[row, longest - len(prompt) :] = 1
    ids_BL, seen_BL = ids_BL.to(lm.device), seen_BL.to(lm.device)
    positions_BL = (seen_BL.cumsum(-1) - 1).clamp_min(0)
    matrix_VD, cache = lm.output_matrix_VD, None
    written: list[list[int]] = [[] for _ in prompts]
    alive = set(range(len(prompts)))
    for _ in range(max_new_tokens):
        output = lm.model.base_model(
            input_ids=ids_BL, attention_mask=seen_BL, position_ids=positions_BL, past_key_values=cache, use_cache=True
        )
        cache = output.past_key_values
        logits_BV = (output.last_hidden_state[:, -1] @ matrix_VD.T).float()
        if temperature > 0:
            next_B = torch.multinomial((logits_BV / temperature).softmax(-1), 1, generator=generator)[:, 0]
        else:
            next_B = logits_BV.argmax(-1)
        for row in list(alive):
            token = int(next_B[row])
            if token == stop:
                alive.discard(row)
            else:
                written[row].append(token)
        if not alive:
            break
        ids_BL = next_B[:, None]
        seen_BL = torch.cat([seen_BL, torch.ones_like(ids_BL)], dim=-1)
        positions_BL = positions_BL[:, -1:] + 1
    return written


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
    result = []
    for states_TD, target in zip(states_after(lm, prompts, targets), targets, strict=True):
        logits_TV = (states_TD.to(lm.device) @ lm.output_matrix_VD.T).float()
        result.append(logits_TV.log_softmax(-1)[range(len(target)), list(target)].cpu())
    return result
