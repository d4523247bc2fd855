"""Answers in batches are the answers one by one, and those of transformers' own generate."""

import pytest
import torch

from models import answers
from models.answers import answer, drawn, generate, log_likelihoods, token_log_probabilities
from models.contexts import answer_ids, prompt_ids
from models.model import LanguageModel

QUESTIONS = [
    "Who?",
    "Where does Mara Holt run a mill?",
    "When does it open?",
    "a",
    "Who runs the mill in Orvane today?",
]
CONTEXTS = ["Mara Holt runs the mill.", None, "It opens at 9.", "x" * 100, None]


def by_transformers(lm: LanguageModel, prompt: list[int], tokens: int) -> str:
    ids = torch.tensor([prompt], device=lm.device)
    out = lm.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens)
    return lm.tokenizer.decode(out[0, len(prompt) :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_batched_is_one_by_one_is_transformers_own(lm: LanguageModel, batch_size: int) -> None:
    together = answer(lm, QUESTIONS, CONTEXTS, max_new_tokens=16, batch_size=batch_size)
    alone = [answer(lm, [q], [c], max_new_tokens=16)[0] for q, c in zip(QUESTIONS, CONTEXTS, strict=True)]
    theirs = [by_transformers(lm, prompt_ids(lm.tokenizer, q, c), 16) for q, c in zip(QUESTIONS, CONTEXTS, strict=True)]
    assert together == alone == theirs
    assert len(set(together)) > 1


def test_a_shared_prefix_changes_nothing(lm: LanguageModel) -> None:
    context = "Mara Holt runs the mill in Orvane. It opens at 9."
    together = answer(lm, QUESTIONS, [context] * len(QUESTIONS), max_new_tokens=16)
    theirs = [by_transformers(lm, prompt_ids(lm.tokenizer, q, context), 16) for q in QUESTIONS]
    assert together == theirs


def test_identical_prompts_and_no_prompts(lm: LanguageModel) -> None:
    assert len(set(answer(lm, ["Who?"] * 3, max_new_tokens=8))) == 1
    assert answer(lm, []) == []


def test_an_answer_stops_where_its_turn_ends(lm: LanguageModel) -> None:
    """With an output matrix that puts the end of the turn first, nothing is written, and others go on."""
    prompts = [prompt_ids(lm.tokenizer, q) for q in QUESTIONS]
    with torch.no_grad():
        lm.output_matrix_VD.zero_()
        lm.output_matrix_VD[50] = 1.0  # wins where the states' sum is positive, ties at 0 (token 0) elsewhere
        states = [lm.hidden_BLD(input_ids=torch.tensor([p], device=lm.device))[0, -1].sum().item() for p in prompts]
        lm.output_matrix_VD[50] = 0.0
        lm.output_matrix_VD[lm.tokenizer.eos_token_id] = 1.0
        lm.output_matrix_VD[50] = -1.0
    texts = generate(lm, prompts, max_new_tokens=3)
    assert {s > 0 for s in states} == {True, False}
    for text, state in zip(texts, states, strict=True):
        assert (text == "") == (state > 0)


def test_an_answer_stops_at_whatever_token_the_model_s_own_settings_name(lm: LanguageModel) -> None:
    prompts = [prompt_ids(lm.tokenizer, q) for q in QUESTIONS]
    whole = generate(lm, prompts, max_new_tokens=3)
    with torch.no_grad():
        lm.output_matrix_VD[50:53] = lm.output_matrix_VD[50:53] * 1e4  # one of these wins wherever one is positive
    said = generate(lm, prompts, max_new_tokens=3)
    lm.model.generation_config.eos_token_id = [lm.tokenizer.eos_token_id, 50, 51, 52]
    ended = generate(lm, prompts, max_new_tokens=3)
    assert said != whole
    assert [text for text, before in zip(ended, said, strict=True) if text != before] == [""] * len(prompts)


def test_long_prompts_run_few_at_a_time(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    context = "Mara Holt runs the mill in Orvane. It opens at 9. "
    contexts = [context * 3, context * 2, context, context]
    wanted = answer(lm, QUESTIONS[:1] * 4, contexts, max_new_tokens=8)
    longest = len(prompt_ids(lm.tokenizer, QUESTIONS[0], contexts[0]))
    monkeypatch.setattr(answers, "SCORES", longest**2)
    seen: list[int] = []
    assert answer(lm, QUESTIONS[:1] * 4, contexts, max_new_tokens=8, report=lambda done, _: seen.append(done)) == wanted
    assert seen[0] == 1
    assert seen[-1] == 4
    monkeypatch.setattr(answers, "SCORES", 1)  # one at least
    assert answer(lm, QUESTIONS[:1] * 4, contexts, max_new_tokens=8) == wanted


def test_the_length_is_bounded(lm: LanguageModel) -> None:
    texts = answer(lm, QUESTIONS, max_new_tokens=5)
    assert max(len(text) for text in texts) <= 5  # a token is a byte here
    assert any(texts)


def test_sampling_follows_its_generator_and_greedy_needs_none(lm: LanguageModel) -> None:
    prompts = [prompt_ids(lm.tokenizer, q) for q in QUESTIONS]

    def sampled(seed: int) -> list[str]:
        return generate(lm, prompts, max_new_tokens=8, temperature=1.0, generator=torch.Generator().manual_seed(seed))

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    assert generate(lm, prompts, max_new_tokens=8) == generate(lm, prompts, max_new_tokens=8)


def test_what_is_drawn_has_its_probability() -> None:
    p_NV = torch.tensor([[0.1, 0.0, 0.6, 0.3], [0.0, 1.0, 0.0, 0.0]]).repeat(20_000, 1)
    found_N = drawn(p_NV, torch.Generator().manual_seed(0))
    counts = torch.bincount(found_N[::2], minlength=4) / 20_000
    torch.testing.assert_close(counts, p_NV[0], atol=0.01, rtol=0)
    assert counts[1] == 0
    assert set(found_N[1::2].tolist()) == {1}


def test_progress_is_reported_up_to_the_end(lm: LanguageModel) -> None:
    told: list[tuple[int, int]] = []
    answer(lm, QUESTIONS, max_new_tokens=2, batch_size=2, report=lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_log_likelihoods_are_those_of_a_plain_forward_run(lm: LanguageModel) -> None:
    golds = ["Mara Holt", "In Orvane", "9", "b", "Mara"]
    mine = log_likelihoods(lm, QUESTIONS, golds, CONTEXTS)
    for value, question, context, gold in zip(mine, QUESTIONS, CONTEXTS, golds, strict=True):
        prompt, target = prompt_ids(lm.tokenizer, question, context), answer_ids(lm.tokenizer, gold)[:-1]
        with torch.no_grad():
            logp_LV = lm.model(input_ids=torch.tensor([[*prompt, *target]], device=lm.device)).logits[0].log_softmax(-1)
        wanted = logp_LV[range(len(prompt) - 1, len(prompt) + len(target) - 1), target].mean().item()
        assert value == pytest.approx(wanted, abs=1e-5)
        assert value < 0


def test_the_probabilities_of_all_next_tokens_sum_to_one(lm: LanguageModel) -> None:
    prompt, vocabulary = prompt_ids(lm.tokenizer, "Who?"), len(lm.output_matrix_VD)
    logp_V = torch.cat(token_log_probabilities(lm, [prompt] * vocabulary, [[token] for token in range(vocabulary)]))
    assert logp_V.exp().sum().item() == pytest.approx(1, abs=1e-4)
    (first,) = generate(lm, [prompt], max_new_tokens=1)
    assert lm.tokenizer.decode([int(logp_V.argmax())]).strip() == first
