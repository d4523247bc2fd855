"""On-policy sentences: the student's words, the teacher's states, the written ones otherwise untouched."""

import pytest
import torch

from models import rollouts as module
from models.answers import generate
from models.contexts import answer_ids
from models.model import LanguageModel
from models.rollouts import Rollouts
from models.teacher import TargetSentence, target_sentences

CONTEXT = "Day notes. Mara Holt runs the mill in Orvane. It opens at 9."


def taught(lm: LanguageModel, count: int) -> list[TargetSentence]:
    pairs = [(f"Who is number {k}?", f"Mara {k}") for k in range(count)]
    proof: list[str | None] = ["It opens at 9."] * count
    return target_sentences(lm, CONTEXT, pairs, origin="b", experience="mill", evidence=proof, written=[0.3] * count)


def test_a_share_is_written_by_the_student_and_scored_by_the_teacher(lm: LanguageModel) -> None:
    sentences = taught(lm, 9)
    rollouts = Rollouts(lm, {"mill": CONTEXT}, share=0.5, max_new_tokens=5)
    among = [0, 1, 3, 4, 6, 8]
    found = rollouts.rewritten(lm, sentences, among, seed=3)
    assert len(found) == 3
    assert set(found) <= set(among)
    for i, s in found.items():
        (said,) = generate(lm, [sentences[i].prompt], max_new_tokens=5)
        assert s.answer == tuple(answer_ids(lm.tokenizer, said))
        assert (s.prompt, s.question, s.origin, s.experience) == (
            sentences[i].prompt, sentences[i].question, "b", "mill",
        )  # fmt: skip
        assert s.written == 0
        (plain,) = target_sentences(
            lm, CONTEXT, [(s.question, said)], origin="b", experience="mill", evidence=[sentences[i].evidence]
        )
        assert torch.allclose(s.states_TD, plain.states_TD, atol=1e-4)
    assert set(rollouts.rewritten(lm, sentences, among, seed=4)) != set(found)
    again = rollouts.rewritten(lm, sentences, among, seed=3)
    assert all(torch.equal(again[i].states_TD, found[i].states_TD) for i in found)


def test_what_is_left_unanswered_keeps_its_answer(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "generate", lambda lm, prompts, **_: [""] * len(prompts))
    rollouts = Rollouts(lm, {"mill": CONTEXT}, share=1, max_new_tokens=5)
    assert rollouts.rewritten(lm, taught(lm, 3), [0, 1, 2], seed=0) == {}
