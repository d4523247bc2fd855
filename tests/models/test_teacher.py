"""The cached teacher is the live one: full prompt, run alone, no cache, no padding."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from models import teacher
from models.contexts import answer_ids, prompt_ids
from models.model import LanguageModel
from models.teacher import batches_by_length, states_after, target_sentences

CONTEXT = "Mara Holt runs the mill in Orvane. It opens at 9 and closes at 17 on all days but Sunday."
PAIRS = [
    ("Who runs the mill?", "Mara Holt"),
    ("When?", "9"),
    ("Where does Mara Holt run a mill, and until when is it open?", "In Orvane; it closes at 17."),
    ("When?", "17, but never on Sunday"),
]


def alone(lm: LanguageModel, prompt: Sequence[int], answer: Sequence[int]) -> tuple[Tensor, Tensor]:
    """States and logits before each answer token of one sequence."""
    ids = torch.tensor([[*prompt, *answer]], device=lm.device)
    with torch.no_grad():
        states_LD = lm.hidden_BLD(input_ids=ids, use_cache=False)[0]
        logits_LV = lm.model(input_ids=ids, use_cache=False).logits[0]
    here = slice(len(prompt) - 1, len(prompt) - 1 + len(answer))
    return states_LD[here].cpu(), logits_LV[here].cpu()


@pytest.mark.parametrize("context", [CONTEXT, None])
@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[:1], [PAIRS[0]] * 3, [("When?", "9"), ("When?", "10")]])
def test_cached_states_are_the_live_ones(lm: LanguageModel, context: str | None, pairs: list[tuple[str, str]]) -> None:
    taught = target_sentences(lm, context, pairs, origin="b0000", experience="mill")
    assert [s.question for s in taught] == [q for q, _ in pairs]
    for sentence, (question, answer) in zip(taught, pairs, strict=True):
        assert sentence.answer == tuple(answer_ids(lm.tokenizer, answer))
        assert sentence.prompt == tuple(prompt_ids(lm.tokenizer, question))  # the student's: no context
        states_TD, logits_TV = alone(lm, prompt_ids(lm.tokenizer, question, context), sentence.answer)
        assert torch.allclose(sentence.states_TD, states_TD, atol=1e-5)
        again_TV = (sentence.states_TD @ lm.output_matrix_VD.T.cpu()).softmax(-1)
        assert torch.allclose(again_TV, logits_TV.softmax(-1), atol=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 40, 90, 10_000])
def test_batching_and_padding_change_nothing(lm: LanguageModel, batch_tokens: int) -> None:
    prompts = [[5, 6, 7, 8, 9], [5, 6, 7], [5, 6, 20, 21, 22, 23, 24, 25], [5, 6, 30]]
    answers = [[40], [41, 42, 43, 44, 45, 46, 47], [48, 49], [50, 51, 52]]
    states = states_after(lm, prompts, answers, batch_tokens=batch_tokens)
    for mine, prompt, answer in zip(states, prompts, answers, strict=True):
        assert mine.shape == (len(answer), 32)
        assert torch.allclose(mine, alone(lm, prompt, answer)[0], atol=1e-5)


def test_what_would_not_fit_the_window_is_not_read_twice(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, shown = (target_sentences(lm, CONTEXT, PAIRS[:2], origin="b", evidence=e) for e in (None, [CONTEXT, None]))
    assert not torch.allclose(plain[0].states_TD, shown[0].states_TD, atol=1e-3)
    monkeypatch.setattr(lm.model.config, "max_position_embeddings", len(CONTEXT) + 80)  # bytes are this model's tokens
    short = target_sentences(lm, CONTEXT, PAIRS[:2], origin="b", evidence=[CONTEXT, None])
    for mine, theirs in zip(short, plain, strict=True):
        assert torch.allclose(mine.states_TD, theirs.states_TD, atol=1e-5)


def test_few_scores_are_kept_after_a_long_beginning(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [[*range(5, 60), k] for k in range(60, 90)]
    answers = [[40, 41]] * len(prompts)
    wanted = states_after(lm, prompts, answers)
    monkeypatch.setattr(teacher, "SCORES", 4 * 57)
    rows: list[int] = []
    handle = lm.model.get_input_embeddings().register_forward_pre_hook(lambda _, ids: rows.append(ids[0].numel()))
    found = states_after(lm, prompts, answers)
    handle.remove()
    assert max(rows[1:]) <= 4  # after the beginning itself
    for mine, theirs in zip(found, wanted, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_the_context_matters_to_the_teacher(lm: LanguageModel) -> None:
    (with_it,) = target_sentences(lm, CONTEXT, PAIRS[:1], origin="b0000")
    (without,) = target_sentences(lm, None, PAIRS[:1], origin="b0000")
    assert with_it.prompt == without.prompt
    assert (with_it.states_TD - without.states_TD).abs().max() > 0.01


def test_nothing_to_run_is_no_error(lm: LanguageModel) -> None:
    assert states_after(lm, [], []) == []
    assert target_sentences(lm, CONTEXT, [], origin="b0000") == []


def test_shares_of_the_written_token_stay_with_their_sentence(lm: LanguageModel) -> None:
    taught = target_sentences(lm, CONTEXT, PAIRS, origin="b0000", written=[0.1, 0.2, 0.3, 0.4])
    assert [s.written for s in taught] == [0.1, 0.2, 0.3, 0.4]


def test_batches_hold_every_index_once_and_stay_within_their_tokens() -> None:
    lengths = [3, 50, 7, 7, 1, 20, 50, 2]
    groups = list(batches_by_length(lengths, 40))
    assert sorted(i for group in groups for i in group) == list(range(8))
    for group in groups:
        assert len(group) == 1 or max(lengths[i] for i in group) * len(group) <= 40
    assert len(groups) < len(lengths)
