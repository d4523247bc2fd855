"""What a writer replies is read in every usual form, and never breaks anything."""

import json
import random

import pytest

from models.pairs import KINDS, OTHER, Pair, copied, messages, read

TEXT = "The ferry of Ellisund leaves at nine. Ida Holm steers it."
WHO = Pair("Who steers the ferry of Ellisund?", "Ida Holm.", "who")
WHEN = Pair("When does the ferry of Ellisund leave?", "At nine.", "when")


def line(pair: Pair) -> str:
    return json.dumps({"kind": pair.kind, "question": pair.question, "answer": pair.answer})


@pytest.mark.parametrize(
    "reply",
    [
        f"{line(WHO)}\n{line(WHEN)}",
        f"Here you are:\n```json\n[{line(WHO)},\n{line(WHEN)},]\n```\nAnything else?",
        f'{{"pairs": [{line(WHO)}, {line(WHEN)}]}}',
        f"<think>{line(Pair('Not this?', 'No.', 'what'))}</think>{line(WHO)} {line(WHEN)}",
        f'{line(WHO)}\n{line(WHEN)}\n{{"kind": "why", "question": "Why does the ferry',  # cut off
        f'{line(WHO)}\n{{"kind": "...", "question": "...", "answer": "..."}}\n{line(WHEN)}',
    ],
    ids=["lines", "fenced list with a comma too many", "object", "reasoning", "cut off", "empty form"],
)
def test_json_in_any_wrapping(reply: str) -> None:
    assert read(reply) == [WHO, WHEN]


@pytest.mark.parametrize(
    "reply",
    [
        f"1. {WHO.question} {WHO.answer}\n2. {WHEN.question} - {WHEN.answer}",
        f"1) **{WHO.question}**\n   {WHO.answer}\n\n2) **{WHEN.question}**\n   {WHEN.answer}\n\nThat is all.",
        f"Q: {WHO.question}\nA: {WHO.answer}\nQ: {WHEN.question}\nA: {WHEN.answer}",
        f"- **Q1:** {WHO.question} Answer: {WHO.answer}\n- **Question:** {WHEN.question}\n**Answer:** At nine.",
    ],
    ids=["numbered", "below each other", "labels", "bold"],
)
def test_lists(reply: str) -> None:
    assert read(reply) == [pair._replace(kind=OTHER) for pair in (WHO, WHEN)]


@pytest.mark.parametrize(
    "answer", ["7:30 in the morning.", "1.5 million crowns.", "A. Smith repaired it.", "A-frames."]
)
def test_how_an_answer_begins_is_no_mark_of_a_list(answer: str) -> None:
    assert read(f"1. {WHO.question}\n   {answer}\n2. {WHEN.question}\n   {answer}") == [
        Pair(WHO.question, answer, OTHER),
        Pair(WHEN.question, answer, OTHER),
    ]


def test_kinds_are_told_or_left_open() -> None:
    told = ["How many", "how-much", "yes/no", "Reverse", "haiku", ""]
    reply = "\n".join(line(Pair("Who is it?", "Ida Holm", kind)) for kind in told)
    assert [pair.kind for pair in read(reply)] == ["how_many", "how_many", "yes_no", "reversed", OTHER, OTHER]
    assert read("1. (who) Who steers? Ida.\n2. [why] Why? So.") == [
        Pair("Who steers?", "Ida.", "who"),
        Pair("Why?", "So.", "why"),
    ]


def test_answers_that_are_no_text() -> None:
    reply = '{"question": "How many?", "answer": 3} {"q": "Open?", "a": true} {"question": "Who?", "answer": null}'
    assert [(pair.question, pair.answer) for pair in read(reply)] == [("How many?", "3"), ("Open?", "Yes")]


def test_blanks_of_a_cloze_stay() -> None:
    assert read("Q: The ferry leaves at ____.\nA: nine")[0].question == "The ferry leaves at ____."


@pytest.mark.parametrize("reply", ["", "I cannot.", "{" * 3000, '{"a":' * 3000, '{"question": "Who?', "\ud800?"])
def test_nothing_readable_is_nothing(reply: str) -> None:
    assert read(reply) == []


def test_noise_never_breaks_it_and_what_is_read_can_be_written() -> None:
    generator = random.Random(0)
    parts = [*'{}[]",:?\n\\ ', "Q:", "A:", "1.", '"question"', '"answer"', "who", "\\ud800", "\ud800", "é", "<think>"]
    for _ in range(500):
        for pair in read("".join(generator.choices(parts, k=60))):
            assert pair.question.encode()
            assert any(c.isalnum() for c in pair.question)
            assert any(c.isalnum() for c in pair.answer)
            assert pair.kind in {*KINDS, OTHER}


def test_the_example_shows_every_kind_and_its_copy_is_known() -> None:
    asked, example, question = messages(TEXT, 7)
    shown = read(example["content"])
    assert {pair.kind for pair in shown} == set(KINDS)
    assert all(copied(pair, TEXT) for pair in shown)
    assert not any(copied(pair, asked["content"]) for pair in shown)
    assert not copied(WHO, TEXT)
    assert TEXT in question["content"]
    assert "7 pairs" in question["content"]
