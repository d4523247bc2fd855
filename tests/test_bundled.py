"""What the bundled data promises, as far as it can be seen without a model.

The sample stream must show every case that the stages have to deal with; the facts, the unrelated
prompts and the probes must not overlap, because each of them measures something else.
"""

import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from stdnum import luhn

from models.metrics import normalise
from models.records import Experience

ROOT = Path(__file__).parent.parent
DAYS = (1, 2, 3)
MALFORMED, DUPLICATE, PERSONAL = "note-night-ferry", "joins-clara-thorne-again", "refund-marlow-finch"


def lines(day: int) -> list[str]:
    return (ROOT / "sample" / f"day-{day}.jsonl").read_text(encoding="utf-8").splitlines()


def experiences(day: int) -> list[Experience]:
    return [Experience.model_validate_json(line) for line in lines(day) if MALFORMED not in line]


def bundled(name: str) -> list[dict]:
    text = (ROOT / "tasks" / "bundled" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def golds_by_question(day: int) -> dict[str, tuple[str, ...]]:
    return {probe.question: probe.answers for experience in experiences(day) for probe in experience.probes}


@pytest.mark.parametrize("day", DAYS)
def test_a_day_has_experiences_of_different_forms(day: int) -> None:
    found = experiences(day)
    assert len(found) >= 4
    assert len({experience.source for experience in found}) >= 4
    assert any(not isinstance(experience.context, str) for experience in found)
    assert len({experience.id for experience in found}) == len(found)
    assert all(experience.occurred_at for experience in found)


@pytest.mark.parametrize("day", DAYS)
def test_every_experience_has_probes_of_more_than_one_kind(day: int) -> None:
    for experience in experiences(day):
        assert 4 <= len(experience.probes) <= 6, experience.id
        kinds = [probe.kind for probe in experience.probes]
        assert set(kinds) <= {"direct", "paraphrased", "combined"}, experience.id
        assert 1 <= len(kinds) - kinds.count("direct") <= len(kinds) / 2, experience.id
        assert not experience.qa, "the sample's target sentences are written by the model itself"


@pytest.mark.parametrize("day", DAYS)
def test_gold_answers_stand_in_the_context_and_not_in_the_question(day: int) -> None:
    for experience in experiences(day):
        text = f" {normalise(experience.text)} "
        for probe in experience.probes:
            golds = [f" {normalise(gold)} " for gold in probe.answers]
            assert any(gold in text for gold in golds), probe.question
            assert not any(gold in f" {normalise(probe.question)} " for gold in golds), probe.question


def test_day_3_has_one_malformed_line() -> None:
    bad = []
    for line in (line for day in DAYS for line in lines(day)):
        try:
            Experience.model_validate_json(line)
        except ValidationError:
            bad.append(line)
    assert len(bad) == 1
    assert MALFORMED in bad[0]
    assert bad[0] in lines(3)


def test_day_3_repeats_one_earlier_context_and_nothing_else_repeats() -> None:
    earlier = {experience.digest: experience.id for day in (1, 2) for experience in experiences(day)}
    assert len(earlier) == len(experiences(1)) + len(experiences(2))
    assert [experience.id for experience in experiences(3) if experience.digest in earlier] == [DUPLICATE]


def test_day_3_contradicts_one_fact_of_day_1() -> None:
    old, new = golds_by_question(1), {}
    for experience in experiences(3):
        if experience.id != DUPLICATE:
            new |= {probe.question: probe.answers for probe in experience.probes}
    contradicted = [question for question in new if question in old]
    assert len(contradicted) == 1
    assert not set(old[contradicted[0]]) & set(new[contradicted[0]])
    assert not golds_by_question(2).keys() & (old.keys() | new.keys())


def test_day_3_has_one_record_with_personal_data() -> None:
    mail, card = re.compile(r"\w+@\w+\.\w+"), re.compile(r"\b(?:\d{4} ){3}\d{4}\b")
    with_mail = [experience for day in DAYS for experience in experiences(day) if mail.search(experience.text)]
    assert [experience.id for experience in with_mail] == [PERSONAL]
    assert "phone number" in with_mail[0].text
    assert luhn.is_valid(card.search(with_mail[0].text).group().replace(" ", ""))
    for probe in with_mail[0].probes:
        assert not mail.search(probe.question + " ".join(probe.answers))


def test_general_facts_are_many_and_not_given_away() -> None:
    facts = bundled("general.jsonl")
    assert len(facts) >= 100
    for fact in facts:
        assert set(fact) == {"question", "answers"}
        question = f" {normalise(fact['question'])} "
        assert fact["answers"]
        assert not any(f" {normalise(gold)} " in question for gold in fact["answers"]), question


def test_unrelated_prompts_are_many() -> None:
    prompts = bundled("unrelated.jsonl")
    assert len(prompts) == 280
    assert all(set(prompt) == {"prompt"} for prompt in prompts)


def test_facts_prompts_and_probes_do_not_overlap() -> None:
    facts = [fact["question"] for fact in bundled("general.jsonl")]
    prompts = [prompt["prompt"] for prompt in bundled("unrelated.jsonl")]
    probes = sorted({question for day in DAYS for question in golds_by_question(day)})
    assert [pair for group in (facts, prompts) for pair in near_pairs(group, group) if pair[0] < pair[1]] == []
    assert near_pairs(prompts, facts) + near_pairs(prompts, probes) + near_pairs(facts, probes) == []


def test_unrelated_prompts_do_not_name_the_sample_world() -> None:
    contexts = [experience.text for day in DAYS for experience in experiences(day)]
    names = {name for text in contexts for name in re.findall(r"(?<![.:\n] )(?<!^)\b[A-Z][a-z]+ [A-Z][a-z]+\b", text)}
    assert "Halvorn Ferries" in names
    for line in bundled("unrelated.jsonl") + bundled("general.jsonl"):
        assert not any(name in json.dumps(line) for name in names), line


def near_pairs(left: list[str], right: list[str]) -> list[tuple[str, str]]:
    """Pairs of texts whose words, small ones aside, are the same, or all but one in six of them."""
    words = {text: frozenset(normalise(text).split()) - SMALL for text in [*left, *right]}
    return [
        (one, other)
        for one in left
        for other in right
        if one is not other and len(words[one] & words[other]) > 5 / 6 * len(words[one] | words[other])
    ]


SMALL = frozenset(
    "is are was were do does did of in on to at for what which who how when where name called".split()  # noqa: SIM905
)
