"""Measuring a version: likelihoods, distances, perplexity, against plain computations."""

import math

import pytest
import torch

from models.answers import answer, log_likelihoods
from models.configs import EvaluateConfig
from models.evaluate import (
    Question,
    answer_facts,
    answer_probes,
    containment,
    locality,
    mean_scores,
    neighbours,
    relative_l2,
    turned,
    unrelated_text,
)
from models.model import LanguageModel, load
from models.records import Probe, Reply
from models.teacher import TargetSentence

CONFIG = EvaluateConfig(max_new_tokens=6, general_tokens=6)


def test_the_likeliest_gold_answer_counts(lm: LanguageModel) -> None:
    golds = ("Mara Holt", "9", "In Orvane")
    probes = [Probe(question="Who?", answers=golds), Probe(question="Where?", answers=golds[:1])]
    first, second = answer_probes(lm, [Question("b", "e", p) for p in probes], CONFIG)
    alone = [log_likelihoods(lm, ["Who?"], [gold])[0] for gold in golds]
    assert first.log_likelihood == pytest.approx(max(alone), abs=1e-5)
    assert len({round(x, 3) for x in alone}) == 3
    (turned,) = answer_probes(lm, [Question("b", "e", Probe(question="Who?", answers=golds[::-1]))], CONFIG)
    assert turned.log_likelihood == pytest.approx(first.log_likelihood, abs=1e-5)
    assert second.log_likelihood == pytest.approx(log_likelihoods(lm, ["Where?"], ["Mara Holt"])[0], abs=1e-5)
    assert [a.answer for a in (first, second)] == answer(lm, ["Who?", "Where?"], max_new_tokens=6)


def test_with_a_context_the_book_is_open(lm: LanguageModel) -> None:
    probe = Probe(question="Who?", answers=("Mara",))
    (opened,) = answer_probes(lm, [Question("b", "e", probe, "Mara runs it.")], CONFIG)
    assert opened.log_likelihood == pytest.approx(
        log_likelihoods(lm, ["Who?"], ["Mara"], ["Mara runs it."])[0], abs=1e-5
    )
    assert answer_probes(lm, [], CONFIG) == []
    assert mean_scores([]) is None
    assert mean_scores([opened])["log_likelihood"] == opened.log_likelihood  # type: ignore[index]


def test_a_context_is_read_once_for_all_its_gold_answers(lm: LanguageModel) -> None:
    contexts = ("Mara runs it." * 20, "The boat lies in Orvane." * 20)
    golds = ("Mara", "In Orvane", "9", "Holt")
    asked = [Question("b", "e", Probe(question=f"Who {i}?", answers=golds), contexts[i % 2]) for i in range(6)]
    read: list[int] = []
    handle = lm.model.get_input_embeddings().register_forward_pre_hook(lambda _, ids: read.append(ids[0].numel()))
    found = answer_probes(lm, asked, CONFIG)
    handle.remove()
    for question, mine in zip(asked, found, strict=True):
        likely = [log_likelihoods(lm, [question.probe.question], [gold], [question.context])[0] for gold in golds]
        assert mine.log_likelihood == pytest.approx(max(likely), abs=1e-5)
    to_answer = sum(len(q.context or "") + 60 for q in asked)  # bytes are tokens of this model; and what is written
    assert sum(read) < to_answer + len(contexts) * 500 + len(asked) * len(golds) * 60


def test_simple_facts_are_answered_at_more_length_and_scored(lm: LanguageModel) -> None:
    said = answer(lm, ["Who?", "Where?"], max_new_tokens=9)
    facts = [("Who?", (said[0],)), ("Where?", ("surely not this",))]
    found = answer_facts(lm, facts, CONFIG.model_copy(update={"general_tokens": 9}))
    assert [a.answer for a in found] == said
    assert [(a.question, a.answers) for a in found] == facts
    assert containment(found) == 0.5


def test_what_is_lost_and_what_is_won() -> None:
    def answered(*right: float) -> list[Reply]:
        return [Reply(question="?", answers=("a",), answer="", contains=r) for r in right]

    assert turned(answered(1, 1, 1, 0, 0), answered(1, 0, 0, 1, 0)) == {"lost": 2, "won": 1}


def test_distance_of_weights(lm: LanguageModel, tiny_model: object) -> None:
    base = load(str(tiny_model), dtype=torch.float32)
    assert relative_l2(lm, base) == 0
    with torch.no_grad():
        for p in lm.model.parameters():
            p.mul_(1.1)
    assert relative_l2(lm, base) == pytest.approx(0.1, rel=1e-4)


def test_unrelated_text_of_base_and_of_a_moved_model(lm: LanguageModel, unrelated: list[TargetSentence]) -> None:
    base_VD = lm.output_matrix_VD.detach().clone()
    still = unrelated_text(lm, base_VD, unrelated)
    assert still["kl_from_base"] == pytest.approx(0, abs=1e-5)
    nll: list[float] = []
    for s in unrelated:
        with torch.no_grad():
            ids = torch.tensor([[*s.prompt, *s.answer]], device=lm.device)
            logp_LV = lm.model(input_ids=ids).logits[0].log_softmax(-1)
        nll += [-logp_LV[len(s.prompt) - 1 + t, token].item() for t, token in enumerate(s.answer)]
    assert still["perplexity"] == pytest.approx(math.exp(sum(nll) / len(nll)), rel=1e-4)
    with torch.no_grad():
        noise_VD = torch.randn(base_VD.shape, generator=torch.Generator().manual_seed(0))
        lm.output_matrix_VD.add_(0.05 * noise_VD.to(lm.device))
    assert unrelated_text(lm, base_VD, unrelated)["kl_from_base"] > 1e-4


def test_a_probe_s_neighbour_is_asked_and_must_not_get_its_answer() -> None:
    probes = [
        Question("b", "e", Probe(question="Who runs the mill in Orvane?", answers=("Mara",))),
        Question("b", "e", Probe(question="When does it open?", answers=("9",))),
    ]
    (near,) = neighbours(
        probes, "Mara Holt runs the mill. Alden Beatrix Cedric Dorset Edwin Freya Gideon Harriet Ingram"
    )
    assert near.probe.question in ("Who runs the mill in Jasper?", "Who runs the mill in Lorna?")
    assert (near.probe.kind, near.probe.answers, near.context) == ("locality", ("Mara",), None)


def test_what_leaks_is_what_says_a_neighbour_s_fact(lm: LanguageModel, tiny_model: object) -> None:
    base = load(str(tiny_model), dtype=torch.float32)
    near = [Question("b", "e", Probe(question=f"Who runs {k}?", answers=("Mara",))) for k in "abcd"]
    said = answer_probes(base, near, CONFIG)
    same = locality(base, lm, said, said)
    assert (same["probes"], same["leak"], same["leak_base"], same["log_likelihood_gain"]) == (4, 0, 0, 0)
    assert same["kl_from_base"] == pytest.approx(0, abs=1e-5)
    mute = [a.model_copy(update={"answer": ""}) for a in said]
    assert locality(base, lm, mute, said)["kl_from_base"] is None
    with torch.no_grad():
        for p in lm.model.parameters():
            p.mul_(1.1)
    likelier = {a.question: a.log_likelihood + 2 for a in said[:3]}
    leaking = [a.model_copy(update={"contains": 1.0, "log_likelihood": likelier[a.question]}) for a in said[:3]]
    moved = locality(base, lm, said, [*leaking, said[3]])
    assert moved["leak"] == 0.75
    assert moved["log_likelihood_gain"] == pytest.approx(1.5)
    assert moved["kl_from_base"] > 0.001
