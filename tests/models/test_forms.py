"""Questions made by grammar alone: they ask for what the sentence says, and for nothing else."""

import pytest

from models.forms import actions, combined, evidence, placed, plain

NEWS = ("News of the mill.", "The new master of the mill is Mara Holt.", "The dog of Mara Holt is called Biscuit.",
        "A sack of flour costs 9 crowns.", "The mill was built at the river Orv.")  # fmt: skip


@pytest.mark.parametrize(
    ("fact", "asked"),
    [
        (NEWS[1], ["Who is the new master of the mill?", "What is the name of the new master of the mill?"]),
        (NEWS[2], ["What is the name of the dog of Mara Holt?", "What is the dog of Mara Holt called?",
                   "What is the name of Mara Holt's dog?", "What is Mara Holt's dog called?"]),
        (NEWS[3], ["How much is a sack of flour?", "What is the price of a sack of flour?"]),
        ("The office is in the Copper House.", ["Where is the office?", "Where can I find the office?"]),
        ("The hobby of Ida is archery.", ["What is the hobby of Ida?", "Can you tell me the hobby of Ida?",
                                          "What is Ida's hobby?", "Can you tell me Ida's hobby?"]),
        (NEWS[4], []),
        (NEWS[0], []),
    ],
)  # fmt: skip
def test_plain_questions(fact: str, asked: list[str]) -> None:
    written = plain([fact])
    assert [w.question for w in written] == asked
    assert all(w.answer == w.evidence == fact for w in written)


def test_a_name_is_replaced_by_what_another_sentence_calls_it() -> None:
    (first, *_) = combined(plain(NEWS), NEWS)
    assert first.question == "What is the name of the dog of the new master of the mill?"
    assert first.answer == NEWS[2]
    assert NEWS[1] in first.evidence
    assert NEWS[2] in first.evidence


def test_a_sentence_is_not_combined_with_itself() -> None:
    assert combined(plain(NEWS[1:2]), NEWS[1:2]) == []


@pytest.mark.parametrize(
    ("question", "answer", "fact"),
    [("Who heads the mill?", "Mara Holt", 1), ("What does flour cost?", "9 crowns", 3), ("Whose dog?", "Mara's", 2)],
)
def test_evidence_is_the_sentence_that_shares_most(question: str, answer: str, fact: int) -> None:
    assert evidence(NEWS, question, answer) == NEWS[fact]


def test_nothing_in_common_is_no_evidence() -> None:
    assert evidence(NEWS, "Why?", "Because") is None
    assert evidence([], "Why?", "Because") is None


@pytest.mark.parametrize(
    ("fact", "asked"),
    [
        ("The quiet deck closes at midnight.", ["When does the quiet deck close?",
                                                "At what time does the quiet deck close?"]),
        ("The tug pulled the boat to Ellisund.", ["Where did the tug pull the boat to?",
                                                  "To which place did the tug pull the boat?"]),
        ("The trip goes with the ferry Old Marta.", ["What does the trip go with?"]),
        ("Ida Berg studied at Castle Academy.", ["Where did Ida Berg study?", "What did Ida Berg study at?"]),
        ("A cracked pump caused the fire.", ["What did a cracked pump cause?"]),
        ("Staff news of the mill.", []),
        ("The ship, which carries mail, sails to Mossey.", []),
        ("The ship is named after a saint who lived here.", []),
    ],
)  # fmt: skip
def test_what_is_asked_of_an_action(fact: str, asked: list[str]) -> None:
    assert [w.question for w in actions([fact])] == asked


def test_questions_get_the_name_of_what_their_document_is_of() -> None:
    facts = ("Menu of the Galley Cafe on the pier.", "The soup of the week is nettle soup.", "The Galley Cafe is big.")
    asked = [w.question for w in placed(plain(facts), facts)]
    assert asked == ["What is the soup of the week at the Galley Cafe?",
                     "Can you tell me the soup of the week of the Galley Cafe on the pier?"]  # fmt: skip
    assert placed(plain(facts[1:]), facts[1:]) == []
