"""Pairs: no probe among them, the same for the same seed, made of what the context says."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from models import facts, forms, writing
from models.answers import log_likelihoods
from models.configs import SynthesizeConfig
from models.contexts import beside
from models.facts import sentences
from models.metrics import alike, normalise
from models.model import LanguageModel
from models.records import Experience, QAPair
from models.synthesize import Leak, distinct, grounded, neighbours, synthesize, unlike, with_forms

CONFIG = SynthesizeConfig(samples=2, question_tokens=12, beside_given=False)
PROBE = "Who runs the mill in Orvane?"
NEAR = ["who runs THE mill in Orvane", "Who runs a mill in Orvane ?!", "In Orvane, who runs the mill?"]
TEXT = "News of the mill in Orvane. Mara Holt runs the mill in Orvane since May. It opens at nine in the morning."


def experience(**fields: Any) -> Experience:
    return Experience.model_validate({"id": "mill", "context": TEXT} | fields)


def given(question: str, answer: str = "Mara") -> dict[str, str]:
    return {"question": question, "answer": answer}


def asks_a_probe(pairs: list[QAPair], *probes: str) -> bool:
    words = [set(normalise(p).split()) for p in probes]
    return any(set(normalise(pair.question).split()) == w for pair in pairs for w in words)


def test_grounded_is_what_the_context_makes_likelier(lm: LanguageModel) -> None:
    mill = experience()
    pairs = [
        QAPair(experience="mill", kind="who", writer="scribe", question=f"Who is {k}?", answer=a, evidence=e)
        for k, (a, e) in enumerate([("Mara Holt", None), ("nine", sentences(mill)[2]), ("May", None), ("it", None)])
    ]
    contexts = [beside(TEXT, p.evidence) if p.evidence else TEXT for p in pairs]
    gains = [
        log_likelihoods(lm, [p.question], [p.answer], [context])[0] - log_likelihoods(lm, [p.question], [p.answer])[0]
        for p, context in zip(pairs, contexts, strict=True)
    ]
    middle = sum(sorted(gains)[1:3]) / 2
    kept = grounded(lm, mill, pairs, middle)
    assert kept == [p for p, gain in zip(pairs, gains, strict=True) if gain > middle]
    assert len(kept) == 2
    assert grounded(lm, mill, [], middle) == []


def test_a_given_pair_that_asks_a_probe_is_dropped(lm: LanguageModel) -> None:
    mill = experience(
        probes=[{"question": PROBE, "answers": ["Mara Holt"]}],
        qa=[given(q) for q in (PROBE, *NEAR, "When does it open?")],
    )
    pairs = synthesize(lm, [mill], CONFIG, seed=0)
    assert [p.question for p in pairs] == ["When does it open?"]


def test_a_probe_of_another_experience_or_an_earlier_batch_is_dropped_too(lm: LanguageModel) -> None:
    asking = experience(id="a", qa=[given(PROBE), given("When does it open?"), given("Where is it?")])
    probed = experience(id="b", probes=[{"question": NEAR[2], "answers": ["Mara"]}], qa=[given("How old is it?")])
    pairs = synthesize(lm, [asking, probed], CONFIG, seed=0, forbidden=["where is it"])
    assert [(p.experience, p.question) for p in pairs] == [("a", "When does it open?"), ("b", "How old is it?")]


@pytest.fixture
def parrot(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model that asks nothing but what stands in this list."""
    said: list[str] = []

    def generate(lm: LanguageModel, prompts: list[list[int]], **_: Any) -> list[str]:
        return [said[k % len(said)] for k in range(len(prompts))]

    monkeypatch.setattr(writing, "_OPENINGS", [("", "who")])
    monkeypatch.setattr(writing, "generate", generate)
    return said


def test_a_model_that_writes_the_probe_s_question_does_not_leak_it(lm: LanguageModel, parrot: list[str]) -> None:
    parrot += [PROBE, *NEAR]
    probes = [{"question": PROBE, "answers": ["Mara Holt"]}]
    assert asks_a_probe(synthesize(lm, [experience()], CONFIG, seed=0), PROBE)  # it would, were it no probe
    pairs = synthesize(lm, [experience(probes=probes)], CONFIG, seed=0)
    assert pairs
    assert not asks_a_probe(pairs, PROBE)


def test_a_probe_that_looks_like_our_own_forms_does_not_leak(lm: LanguageModel, parrot: list[str]) -> None:
    parrot += ["Nothing."]
    forms = [p.question for p in synthesize(lm, [experience()], CONFIG, seed=0)]
    assert len(forms) > 3
    for form in forms:
        probes = [{"question": form, "answers": ["x"]}]
        assert form not in [p.question for p in synthesize(lm, [experience(probes=probes)], CONFIG, seed=0)]


def test_a_question_is_answered_by_its_sentence_and_asked_once(lm: LanguageModel, parrot: list[str]) -> None:
    parrot += ["Who runs the mill?", "who runs the mill ?", "Who runs the mill in Orvane?", "Does Mara Holt run it?"]
    config = CONFIG.model_copy(update={"grammar": False, "echo": 0, "cloze": 0, "about": 0})
    fact = sentences(experience())[1]
    pairs = synthesize(lm, [experience()], config, seed=0)
    assert [(p.kind, p.question) for p in pairs] == [
        ("who", "Who runs the mill?"),
        ("who", "Who runs the mill in Orvane?"),
        ("who", "Does Mara Holt run it?"),
    ]
    assert {(p.answer, p.evidence, p.writer) for p in pairs} == {(fact, fact, "self")}


def test_a_question_is_answered_by_the_sentence_that_it_fits_best(lm: LanguageModel, parrot: list[str]) -> None:
    parrot += ["Who runs the mill in Orvane?", "What opens in the morning?"]
    pairs = synthesize(lm, [experience()], CONFIG.model_copy(update={"grammar": False, "echo": 0, "cloze": 0}), seed=0)
    _, runs, opens = sentences(experience())
    assert {(p.question, p.answer) for p in pairs if p.kind == "who"} == {(parrot[0], runs), (parrot[1], opens)}


def test_no_more_questions_are_kept_than_asked_for(lm: LanguageModel, parrot: list[str]) -> None:
    parrot += [f"Who of Orvane runs number {k} of the mill?" for k in range(20)]
    config = CONFIG.model_copy(update={"keep": 3, "grammar": False, "echo": 0, "cloze": 0, "about": 0})
    pairs = synthesize(lm, [experience()], config, seed=0)
    assert {p.kind for p in pairs} == {"who"}
    assert len(pairs) == 3


def test_same_seed_same_pairs(lm: LanguageModel) -> None:
    config = CONFIG.model_copy(update={"temperature": 1.5})
    asked = [synthesize(lm, [experience()], config, seed=1) for _ in range(2)]
    assert asked[0] == asked[1]
    assert asked[0]


def test_the_seed_reaches_the_sampling(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., list[str]] = writing.generate
    drawn: list[list[str]] = []

    def heard(*arguments: Any, **named: Any) -> list[str]:
        texts = real(*arguments, **named)
        drawn.append(texts)
        return texts

    monkeypatch.setattr(writing, "generate", heard)
    for seed in (1, 1, 50):
        synthesize(lm, [experience(), experience(id="other")], CONFIG, seed=seed)
    assert drawn[0] == drawn[1] != drawn[2]
    half = len(drawn[0]) // 2
    assert drawn[0][:half] != drawn[0][half:]  # each experience draws its own


def test_given_pairs_are_taken_as_they_are(lm: LanguageModel) -> None:
    (pair,) = synthesize(lm, [experience(qa=[given("When does it open?", "At 9")])], CONFIG, seed=0)
    assert pair == QAPair(
        experience="mill",
        question="When does it open?",
        answer="At 9",
        kind="given",
        writer="record",
        evidence="It opens at nine in the morning.",
    )


def test_grammar_asks_beside_given_pairs(lm: LanguageModel) -> None:
    mill = experience(
        context="The cook of the mill is Mara Holt. She began in May.",
        qa=[given("What does Mara Holt like?", "Bread, says the cook Mara Holt.")],
        probes=[{"question": "What do you know about Mara Holt?", "answers": ["bread"]}],
    )
    config = CONFIG.model_copy(update={"beside_given": True, "samples": 0})
    pairs = synthesize(lm, [mill], config, seed=0)
    assert pairs == synthesize(lm, [mill], config, seed=1)  # nothing is sampled
    assert (pairs[0].kind, pairs[0].writer) == ("given", "record")
    assert {p.writer for p in pairs[1:]} == {"self"}
    assert {"plain", "reversed", "echo", "cloze"} <= {p.kind for p in pairs}
    assert not asks_a_probe(pairs, "What do you know about Mara Holt?")
    alone = synthesize(lm, [mill], CONFIG, seed=0)
    assert alone == pairs[:1]


def test_the_model_asks_beside_given_pairs_unless_it_is_told_not_to(lm: LanguageModel, parrot: list[str]) -> None:
    parrot += ["Who runs the mill in Orvane?", PROBE.replace("mill", "old mill")]
    mill = experience(
        qa=[given("When does it open?", "At nine.")],
        probes=[{"question": "Who runs the old mill in Orvane?", "answers": ["Mara"]}],
    )
    asking = CONFIG.model_copy(update={"beside_given": True, "grammar": False, "echo": 0, "cloze": 0, "about": 0})
    assert [(p.question, p.writer) for p in synthesize(lm, [mill], asking, seed=0)] == [
        ("When does it open?", "record"),
        ("Who runs the mill in Orvane?", "self"),
    ]
    assert [p.writer for p in synthesize(lm, [mill], CONFIG, seed=0)] == ["record"]


def test_pairs_are_distinct() -> None:
    def pair(question: str, answer: str) -> QAPair:
        return QAPair(experience="e", question=question, answer=answer, kind="given", writer="record")

    same = [pair("Who?", "Mara"), pair("who", "mara."), pair("Who?", "Ida"), pair("Where?", "Mara")]
    assert distinct(same) == [same[0], same[2], same[3]]


def test_what_is_asked_nearly_alike_and_answered_alike_is_asked_once() -> None:
    asked = "Who was it that ran the old mill by the river in the town of Orvane that year?"
    pairs = [
        QAPair(experience="e", question=question, answer=answer, kind="who", writer="them")
        for question, answer in (
            (asked, "Mara."), (asked.replace("that year", "in that year"), "mara"), (asked, "Ida."), ("Who?", "Mara."),
        )
    ]  # fmt: skip
    assert unlike(pairs) == [pairs[0], *pairs[2:]]


def test_a_context_of_no_sentence_gives_no_pairs(lm: LanguageModel) -> None:
    assert synthesize(lm, [experience(context="Hello there")], CONFIG, seed=0) == []


def test_sentences_of_a_text() -> None:
    text = "Notes of the day. Mara Holt runs the mill.\nIt opens at nine sharp\nWho runs the other mill? Short one.\n"
    assert sentences(experience(context=text + "Mara Holt runs the mill.")) == [
        "Notes of the day.",
        "Mara Holt runs the mill.",
        "It opens at nine sharp",
    ]


def test_sentences_of_a_conversation_come_without_roles_and_questions() -> None:
    turns = [
        {"role": "user", "content": "Who runs the mill in Orvane?"},
        {"role": "assistant", "content": "Mara Holt runs the mill. She began in May 2031."},
        {"role": "user", "content": "Thanks!"},
    ]
    assert sentences(experience(context=turns)) == ["Mara Holt runs the mill.", "Mara Holt began in May 2031."]


def test_all_that_a_user_said_about_a_name_is_said_to_them() -> None:
    talk = experience(
        context=[
            {"role": "user", "content": "I work with Ann Lee in Orm. My sister is Ann Lee of Orm."},
            {"role": "assistant", "content": "I will remember what Ann Lee is."},
        ]
    )
    told = [pair.answer for pair in with_forms(talk, [], SynthesizeConfig()) if pair.kind == "about"]
    assert told == ["You work with Ann Lee in Orm. Your sister is Ann Lee of Orm. I will remember what Ann Lee is."]


@pytest.mark.parametrize(("role", "owner"), [("user", "Your"), ("customer", "My")])
def test_a_user_is_told_what_they_said_and_the_model_does_not_say_it_of_itself(role: str, owner: str) -> None:
    talk = experience(
        context=[
            {"role": role, "content": "My dog is called Rex. The mill is in Orvane."},
            {"role": "assistant", "content": "My answers are short."},
        ]
    )
    theirs = QAPair(
        experience="mill", kind="given", writer="record", question="Whose dog is it?", answer="My dog is called Rex."
    )
    pairs = with_forms(talk, [theirs], SynthesizeConfig(about=0))
    assert pairs[0] == theirs
    assert {pair.answer for pair in pairs[1:]} == {
        *(f"{owner} dog is called Rex.", "The mill is in Orvane.", "My answers are short.")
    }


@pytest.mark.parametrize(
    ("question", "good"),
    [
        ("Since when does Mara Holt run the mill?", True),
        ("Since May, who runs the mill in Orvane?", True),
        ("Who runs it?", False),  # about nothing
        ("Mara Holt runs the mill in Orvane since May?", False),  # leaves nothing to answer
        ("Since when does Ida Berg run the mill in Orvane?", False),  # invents
        ("Since when does Mara Holt run the mill", False),
        ("When? Since when does Mara run the mill?", False),
        ("Mara Holt?", False),
        ("How many of Orvane run the mill?", False),  # the sentence holds no number
        ("Why does Mara run the mill in Orvane?", False),  # and no reason
        ("Where does Mara Holt run the mill?", True),
    ],
)
def test_a_question_asks_about_its_sentence_and_invents_nothing(question: str, good: bool) -> None:
    assert writing.well_asked(question, sentences(experience())[1], facts.stems(TEXT)) is good


def test_a_long_sentence_comes_in_parts() -> None:
    text = (
        "While primary chloroplasts have a double membrane from their cyanobacterial ancestor, secondary "
        "chloroplasts have additional membranes outside of the original two (as a result of a second event, when an "
        "alga was eaten), and some of them were released on 4 October 2010 in two rivers near the mill in Orvane."
    )
    parts = facts.parts(text)
    assert len(parts) > 2
    assert normalise(" ".join(parts)) == normalise(text)
    assert all(facts.SHORTEST <= len(part.split()) <= facts.LONG for part in parts)
    assert not any(part.endswith(",") for part in parts)
    assert facts.parts(parts[0]) == [parts[0]]
    assert facts.parts("word " * 40 + "end.") == ["word " * 40 + "end."]  # nowhere lets go


def test_a_part_answers_and_its_sentence_is_the_evidence(lm: LanguageModel, parrot: list[str]) -> None:
    parrot += ["Who repaired the mill of Orvane?"]
    text = (
        "The mill of Orvane, which stood empty for more than thirty years after the flood had broken its wheel, "
        "was repaired by the carpenter Mara Holt, and it grinds again since the first morning of May."
    )
    config = CONFIG.model_copy(update={"grammar": False, "echo": 0, "cloze": 0, "about": 0})
    (pair,) = [p for p in synthesize(lm, [experience(context=text)], config, seed=0) if p.kind == "who"]
    assert pair.answer in facts.parts(text)
    assert pair.evidence == text


def test_every_span_stands_in_its_sentence_and_leaves_something_to_ask() -> None:
    for fact in sentences(experience()):
        assert forms.spans(fact)
        assert all(span.text in fact and len(span.text) < len(fact) for span in forms.spans(fact))


@pytest.mark.parametrize(
    ("question", "leaks"),
    [(PROBE, True), *[(near, True) for near in NEAR], ("Who runs the mill?", False), ("When does it open?", False)],
)
def test_leak(question: str, leaks: bool) -> None:
    assert Leak(["Where is it?", PROBE]).holds(question) is leaks
    assert not Leak([]).holds(question)


def test_probes_are_found_as_if_each_were_compared() -> None:
    draw = random.Random(0)
    words = [f"w{k}" for k in range(14)]
    probes = [" ".join(draw.sample(words, draw.randint(1, 12))) for _ in range(300)]
    asked = [" ".join(draw.sample(words, draw.randint(1, 12))) for _ in range(300)]
    for likeness in (0.5, 0.75, 0.9, 1.0):
        leak = Leak(probes, likeness)
        one_by_one = [any(alike(frozenset(q.split()), frozenset(p.split()), likeness) for p in probes) for q in asked]
        assert [leak.holds(q) for q in asked] == one_by_one
        assert any(one_by_one)


def test_neighbours_are_pairs_about_others() -> None:
    mill, other = experience(), experience(id="other", context="Selby and Rowan sleep.")
    pair = QAPair(
        experience="mill", question="Who runs the mill in Orvane?", answer="Mara does, in Orvane.", kind="given",
        writer="record", evidence="Mara runs it.",
    )  # fmt: skip
    nameless = pair.model_copy(update={"question": "When does it open?"})
    sleeper = pair.model_copy(update={"experience": "other", "question": "Who is Rowan Bell?", "answer": "A cat."})
    pairs = [pair, nameless, sleeper]
    found = neighbours([mill, other], pairs, Leak([]))
    assert [(p.experience, p.kind, p.writer, p.evidence) for p in found] == [
        ("mill", "locality", "record", None),
        ("other", "locality", "record", None),
    ]
    name = found[0].question.split()[-1].rstrip("?")
    assert name not in ("Orvane", "Selby", "Rowan")  # the batch speaks of them
    assert found[0].answer == f"Mara does, in {name}."
    assert neighbours([mill, other], pairs, Leak([found[0].question])) == found[1:]  # it is a probe
    taught = [*pairs, pair.model_copy(update={"question": found[0].question})]
    assert found[0] not in neighbours([mill, other], taught, Leak([]))
