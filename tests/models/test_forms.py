"""Questions made by grammar alone: they ask for what the sentence says, and for nothing else."""

import pytest

from models.facts import evidence
from models.forms import abouts, asked, clozes, combined, echoes, placed, polars, reverses, whys
from models.names import main_name

NEWS = ("News of the mill.", "The new master of the mill is Mara Holt.", "The dog of Mara Holt is called Biscuit.",
        "A sack of flour costs 9 crowns.", "Mara Holt drove to Orvane.")  # fmt: skip


def questions(*facts: str) -> list[str]:
    written = [form.written() for form in asked(facts)]
    assert all(w.answer == w.evidence in facts for w in written)
    return [w.question for w in written]


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        (NEWS[1], ["Who is the new master of the mill?", "What is the name of the new master of the mill?",
                   "Do you know who the new master of the mill is?"]),
        (NEWS[2], ["What is the name of the dog of Mara Holt?", "What is the dog of Mara Holt called?",
                   "What is the name of Mara Holt's dog?", "What is Mara Holt's dog called?"]),
        (NEWS[3], ["How much is a sack of flour?", "How much does a sack of flour cost?",
                   "What is the price of a sack of flour?"]),
        ("The office is in the Copper House.", ["Where is the office?", "In which house is the office?",
                                                "Where can I find the office?"]),
        ("The hobby of Ida is archery.", ["What is the hobby of Ida?", "Can you tell me the hobby of Ida?",
                                          "Do you know what the hobby of Ida is?",
                                          "What is Ida's hobby?", "Can you tell me Ida's hobby?"]),
        (NEWS[0], []),
        (NEWS[4], []),  # the past of "drive" is not among the verbs that it knows
    ],
)  # fmt: skip
def test_what_is_asked_of_a_state(fact: str, wanted: list[str]) -> None:
    assert questions(fact) == wanted


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        ("The quiet deck closes at midnight.", ["When does the quiet deck close?",
                                                "At what time does the quiet deck close?",
                                                "What closes at midnight?"]),
        ("The tug Bramble pulled the boat to Ellisund.", ["Where did the tug Bramble pull the boat to?",
                                                          "To which place did the tug Bramble pull the boat?",
                                                          "Which tug pulled the boat to Ellisund?"]),
        ("The trip goes with the ferry Old Marta.", ["What does the trip go with?",
                                                     "With which ferry does the trip go?",
                                                     "What goes with the ferry Old Marta?"]),
        ("The ship runs on hydrogen.", ["What does the ship run on?", "What runs on hydrogen?"]),
        ("Ida Berg studied at Castle Academy.", ["Where did Ida Berg study?", "At which academy did Ida Berg study?",
                                                 "Who studied at Castle Academy?"]),
        ("A cracked pump caused the fire.", ["What did a cracked pump cause?", "What caused the fire?"]),
        ("The boat carried 46 passengers.", ["How many passengers did the boat carry?",
                                             "What carried 46 passengers?"]),
        ("The boat was built at the Korvik shipyard.", ["Where was the boat built?",
                                                        "At which shipyard was the boat built?"]),
        ("Mara Holt was a lighthouse keeper before.", []),
        ("Staff news of the mill.", []),
        ("The ship, which carries mail, sails to Mossey.", []),
        ("The ship is named after a saint who lived here.", []),
    ],
)  # fmt: skip
def test_what_is_asked_of_an_action(fact: str, wanted: list[str]) -> None:
    assert questions(fact) == wanted


def test_whether_it_is_so_is_asked_with_what_is_true_and_with_what_another_sentence_says() -> None:
    facts = (
        *NEWS,
        "The cook of the mill is Bo Lund.",
        "The office is in the Copper House.",
        "The soup is nettle soup.",
    )
    assert [(w.question, w.answer) for w in polars(facts, 2)] == [
        ("Is the new master of the mill Mara Holt?", "Yes, the new master of the mill is Mara Holt."),
        ("Is the new master of the mill Bo Lund?", "No, the new master of the mill is Mara Holt."),
        ("Is the dog of Mara Holt called Biscuit?", "Yes, the dog of Mara Holt is called Biscuit."),
        ("Is the cook of the mill Bo Lund?", "Yes, the cook of the mill is Bo Lund."),
        ("Is the cook of the mill Mara Holt?", "No, the cook of the mill is Bo Lund."),
        ("Is the office in the Copper House?", "Yes, the office is in the Copper House."),
        ("Is the soup nettle soup?", "Yes, the soup is nettle soup."),
    ]
    assert all(w.evidence in facts for w in polars(facts, 2))
    assert {w.answer[:3] for w in polars(facts, 1)} == {"Yes"}
    assert polars(facts, 0) == []


def test_a_name_is_replaced_by_what_another_sentence_calls_it() -> None:
    (first, *_) = combined([form.written() for form in asked(NEWS)], NEWS)
    assert first.question == "What is the name of the dog of the new master of the mill?"
    assert first.answer == NEWS[2]
    assert NEWS[1] in first.evidence
    assert NEWS[2] in first.evidence


def test_a_thing_is_replaced_by_what_another_sentence_does_with_it() -> None:
    facts = ("The trip of the school goes with the ferry Old Marta.", "The ferry Old Marta leaves from Pelican Pier.")
    found = combined([form.written() for form in asked(facts)], facts)
    assert [w.question for w in found] == [
        "Where does the ferry that the trip of the school goes with leave from?",
        "From which pier does the ferry that the trip of the school goes with leave?",
    ]
    assert all(w.answer == facts[1] for w in found)


def test_of_each_sentence_three_combined_questions_are_enough() -> None:
    pairs = [form.written() for form in asked(NEWS[1:3])] * 3
    assert len(combined(pairs, NEWS[1:3])) == 3


def test_a_sentence_is_not_combined_with_itself() -> None:
    assert combined([form.written() for form in asked(NEWS[1:2])], NEWS[1:2]) == []


@pytest.mark.parametrize(
    ("question", "answer", "fact"),
    [("Who heads the mill?", "Mara Holt", 1), ("What does flour cost?", "9 crowns", 3), ("Whose dog?", "Mara's", 2)],
)
def test_evidence_is_the_sentence_that_shares_most(question: str, answer: str, fact: int) -> None:
    assert evidence(NEWS, question, answer) == NEWS[fact]


def test_nothing_in_common_is_no_evidence() -> None:
    assert evidence(NEWS, "Why?", "Because") is None
    assert evidence([], "Why?", "Because") is None


def test_questions_get_the_name_of_what_their_document_is_of() -> None:
    facts = ("Menu of the Galley Cafe on Halvorn Ferries.", "The soup of the week is nettle soup.",
             "The cook of the Galley Cafe is Matteo Brink.", "The dog of Ida Berg is called Biscuit.")  # fmt: skip
    found = [w.question for w in placed(asked(facts), facts)]
    assert found == [
        "What is the soup of the week at the Galley Cafe?",
        "Can you tell me the soup of the week of the Galley Cafe on Halvorn Ferries?",
        "Who is the cook of the Galley Cafe on Halvorn Ferries?",
        "What is the name of the cook of the Galley Cafe on Halvorn Ferries?",
    ]
    assert placed(asked(facts[1:]), facts[1:]) == []


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        (NEWS[1], ["Who is Mara Holt?"]),
        (NEWS[2], ["Who or what is Biscuit?"]),
        ("The hobby of Ida is archery.", []),
        ("The office is in the Copper House.", []),
        ("The capital of Orvane is Ellisund.", []),  # of one word: a person, or a place?
        (NEWS[3], []),
    ],
)
def test_what_is_asked_the_other_way_round(fact: str, wanted: list[str]) -> None:
    written = reverses([fact])
    assert [w.question for w in written] == wanted
    assert all(w.answer == w.evidence == fact for w in written)


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        ("The quiet deck closes at noon because the crew has lunch.", ["Why does the quiet deck close at noon?"]),
        ("The tug Bramble pulled the boat, because its pump broke.", ["Why did the tug Bramble pull the boat?"]),
        ("The boat was pulled to Ellisund because its pump broke.", ["Why was the boat pulled to Ellisund?"]),
        ("Ida Berg is late because of the fog.", ["Why is Ida Berg late?"]),
        ("Because of the fog the boat is late.", []),
        ("The boat is late.", []),
    ],
)
def test_what_is_asked_for_its_reason(fact: str, wanted: list[str]) -> None:
    written = whys([fact])
    assert [w.question for w in written] == wanted
    assert all(w.answer == w.evidence == fact for w in written)


@pytest.mark.parametrize(
    ("fact", "wanted"),
    [
        ("The template uses the placeholder {name}.", "What does the template use?"),
        ("The parser returns the object {} to the caller.", "Where does the parser return the object {} to?"),
        ("The command prints the sign } at the end.", "What does the command print the sign } at?"),
        ('The client sends the body {"status": "ok"} to the server.',
         'Where does the client send the body {"status": "ok"} to?'),
    ],
)  # fmt: skip
def test_braces_of_a_text_are_text(fact: str, wanted: str) -> None:
    facts = ("Notes of the Orvane Mill.", fact)
    assert wanted in questions(fact)
    assert all("Orvane Mill" in w.question for w in placed(asked(facts), facts))


def test_a_span_is_asked_for_where_it_stands() -> None:
    fact = "Flight 417 leaves the gate at 17."
    assert [w.question for w in echoes([fact], 9)] == [
        "Flight how many leaves the gate at 17?",
        "Flight 417 leaves the gate at how many?",
    ]
    assert [w.question for w in clozes([fact], 9)] == [
        "Complete the sentence: Flight 417 leaves the gate at ...",
        "Complete the sentence: Flight ...",
    ]


def test_a_name_within_a_longer_name_is_another_one() -> None:
    facts = ("The captain of the Silver Otter is Ann Lee.", "Ann Leeds repaired the north pump of Selby in 1921.")
    assert combined([form.written() for form in asked(facts)], facts) == []
    there = ("News of Orva.", "The mayor of Orvane is Bo Lund.")
    assert not any("Orvane" in w.question for w in placed(asked(there), there))


@pytest.mark.parametrize(
    ("fact", "is_time"),
    [
        ("The clerk works in Mayfield Street.", False),
        ("The clerk works with the team.", False),
        ("The office opened in May.", True),
        ("The office closes at 9 p.m.", True),
        ("The office opens on Mondays.", True),
        ("The letter came from June Carter.", False),
    ],
)
def test_a_time_is_a_word_of_its_own(fact: str, is_time: bool) -> None:
    assert any(q.startswith(("When", "At what time")) for q in questions(fact)) == is_time


def test_what_is_told_about_a_name_is_not_asked_of_how_its_sentence_begins() -> None:
    facts = [
        "Ask Oskar Lind at the desk.",
        "In February the ferry rests.",
        "The Blue Heron leaves.",
        "When Ann Lee came.",
    ]
    assert [pair.question for pair in abouts(facts, 3)] == [
        f"What do you know about {name}?" for name in ("Oskar Lind", "Blue Heron", "Ann Lee")
    ]


def test_amounts_codes_and_titles_are_asked_for_whole() -> None:
    facts = ["The cost of the pumps is $12,400.", "The number of the pump is P-1107.", "The man there is Mr. Huber."]
    assert [pair.question for fact in facts for pair in echoes([fact], 1)] == [
        "The cost of the pumps is how much?",
        "The number of the pump is who or what?",
        "The man there is who or what?",
    ]
    assert "What is the cost of the pumps?" in questions(facts[0])
    assert "When does the release move from Dec. 1?" in questions("The release moves from Dec. 1 to Dec. 15.")


def test_a_document_is_about_a_name_of_its_first_sentence_or_of_a_third_of_all() -> None:
    others = ["Two pumps were broken.", "They came on Tuesday.", "Nobody was there."]
    assert main_name(["The desk is that of Ann Lee.", *others]) == "Ann Lee"
    assert main_name([*others, "The desk is that of Ann Lee."]) is None
    assert main_name([*others, "The desk of Ann Lee is old.", "It is for Ann Lee."]) == "Ann Lee"
    assert main_name([]) is None


def test_a_day_is_not_what_a_document_is_about() -> None:
    assert (
        placed(asked(["The pumps came on Tuesday.", "The number of the pump is 7."]), ["The pumps came on Tuesday."])
        == []
    )
