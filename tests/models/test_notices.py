"""What a text asks by itself, and what it says to that."""

from models.notices import fields, replies
from models.records import Experience


def test_what_is_asked_of_a_field() -> None:
    facts = ["Wifi password: heron77", "Owner: Mara Holt", "Monday: closed", "It is closed: nobody comes."]
    assert [w.question for w in fields(facts)] == [
        "What is the wifi password?", "What about the wifi password?", "Who is the owner?", "What about the owner?",
        "What about Monday?", "What is said about Monday?",
    ]  # fmt: skip
    named = fields([*facts[:1], "We meet at Galley Cafe."])
    assert named[-1].question == "What is the wifi password at Galley Cafe?"
    assert all(w.answer == w.evidence == facts[0] for w in named)


def test_a_document_s_own_questions_are_answered_by_what_follows() -> None:
    text = (
        "Q: Who owns the Galley Cafe?\nA: Mara Holt.\n\nQ: What does lunch cost?\nA: 14 crowns.\n\n"
        "When is the cafe open on Sunday? From 9 to 12.\nWhy? Nobody knows.\nIs it warm? Is the stove on?"
    )
    assert replies(Experience(id="a", context=text)) == [
        ("Who owns the Galley Cafe?", "Mara Holt."),
        ("What does lunch cost?", "14 crowns."),
        ("When is the cafe open on Sunday?", "From 9 to 12."),
    ]


def test_in_a_conversation_who_is_asked_answers_and_no_user_is_quoted() -> None:
    turns = [
        ("customer", "Hello! What is the wifi password?"),
        ("agent", "Hello Ann! It is heron77. Is there anything else?"),
        ("customer", "My dog Rex is ill."),
        ("agent", "How old is your dog Rex?"),
        ("customer", "He is three."),
        ("agent", "Poor Rex."),
    ]
    context = [{"role": role, "content": content} for role, content in turns]
    chat = Experience.model_validate({"id": "a", "context": context})
    assert replies(chat) == [("What is the wifi password?", "It is heron77.")]
