"""Near misses: a neighbour's question, never the question itself and never one of another list's names."""

import pytest

from models.locality import MEASURED, TRAINED, near_miss, near_misses


@pytest.mark.parametrize(
    ("question", "kept", "exchanged"),
    [
        ("Who runs the mill in Orvane?", "Who runs the mill in {}?", "Orvane"),
        ("When do Halvorn Ferries open?", "When do {} Ferries open?", "Halvorn"),
        ("Who cooks at the Galley Cafe on Halvorn Ferries?", "Who cooks at the Galley Cafe on {} Ferries?", ""),
        ("What is Clara Thorne's job?", "What is {} Thorne's job?", "Clara"),
        ("Complete the sentence: The Silver Otter sails ...", "Complete the sentence: The {} Otter sails ...", ""),
        ("In 1999, who sang for Bo Lee on the Blue Heron?", "In 1999, who sang for Bo Lee on the {} Heron?", ""),
    ],
)  # fmt: skip
def test_one_name_is_exchanged(question: str, kept: str, exchanged: str) -> None:
    for names in (TRAINED, MEASURED):
        miss = near_miss(question, names)
        assert miss in [kept.format(name) for name in names]
        assert not exchanged or exchanged not in miss
        assert near_miss(question, names) == miss


def test_a_name_that_the_question_holds_already_is_not_put_in() -> None:
    assert near_miss("Who is Rowan Bell?", ("Rowan", "Selby")) == "Who is Selby Bell?"
    assert near_miss("Who is the friend of Rowan at the Selby Inn?", ("Rowan", "Selby", "Orla")) == (
        "Who is the friend of Rowan at the Orla Inn?"
    )
    assert near_miss("Who is Rowan Bell?", ("Rowan",)) is None


def test_without_a_name_the_year_is_another() -> None:
    miss = near_miss("What happened in the harbour in 1987?", TRAINED)
    assert miss
    assert miss != "What happened in the harbour in 1987?"
    assert 1970 < int(miss[-5:-1]) < 1987


@pytest.mark.parametrize("question", ["When does the ferry leave?", "Which car is it?", "What did I say?", ""])
def test_what_has_no_neighbour_has_no_near_miss(question: str) -> None:
    assert near_miss(question, TRAINED) is None


def test_what_is_trained_on_is_not_what_is_measured() -> None:
    assert not set(TRAINED) & set(MEASURED)


def test_few_are_taken_from_all_over() -> None:
    questions = [f"Who is number {k} of Orvane?" for k in range(30)] * 2 + ["Who is it?"]
    every = near_misses(questions, TRAINED, 99)
    assert len(every) == len(set(every)) == 30
    assert near_misses(questions, TRAINED, 3) == [every[0], every[10], every[20]]
    assert near_misses(questions, TRAINED, 0) == []
