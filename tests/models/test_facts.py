"""Lines that were broken for their length are one sentence; lists, tables and verses stay lines."""

import textwrap

import pytest

from models.english import is_english
from models.facts import LONGEST, sentences, split
from models.forms import echoes
from models.markup import unwrapped
from models.records import Experience, QAPair
from models.synthesize import to_the_user

PROSE = (
    "The ferry Silver Otter lost power near Gannet Rock after a fuel pump cracked at 9:40 in the morning. "
    "The tugboat Bramble pulled it to the quay of Halvorn. Nobody was hurt, and Clara Thorne wrote the report."
)


@pytest.mark.parametrize("width", [45, 72, 80])
def test_a_paragraph_that_was_broken_for_its_length_is_read_whole(width: int) -> None:
    wrapped = f"Notes of the day\n\n{textwrap.fill(PROSE, width)}\n\n{textwrap.fill(PROSE.upper(), width)}"
    assert unwrapped(wrapped) == f"Notes of the day\n{PROSE}\n{PROSE.upper()}"
    assert sentences(Experience(id="a", context=wrapped))[1:4] == PROSE.replace(". ", ".|").split("|")


@pytest.mark.parametrize(
    "text",
    [
        "Adult: 14 crowns\nChild: 7 crowns",
        "The Blue Heron leaves pier 3 of Orm at nine o'clock\nThe Silver Otter leaves pier 2 of Orm at eight",  # a list
        "- the Blue Heron leaves pier 3 of Orm at nine o'clock\n- the Silver Otter leaves. It is late, as a rule",
        "| The Blue Heron leaves. It leaves pier 3 | of Orm |\n| the Silver Otter leaves at eight o'clock | of Orm |",
        "# Notes of the day of the ferries. And of the boats\nthe Silver Otter leaves at eight o'clock in the morning",
        "Good morning.\nThe ferry is late.",
    ],
)
def test_other_lines_stay_lines(text: str) -> None:
    assert unwrapped(text) == text


def test_a_line_that_begins_in_lower_case_goes_on() -> None:
    assert unwrapped("Meeting moved to\nfriday at noon.\nall come.") == "Meeting moved to friday at noon.\nall come."


def test_a_conversation_is_read_turn_by_turn() -> None:
    turns = [
        {"role": "user", "content": "When does it leave"},
        {"role": "assistant", "content": "at nine from pier 3."},
    ]
    assert sentences(Experience.model_validate({"id": "a", "context": turns})) == [
        "When does it leave",
        "at nine from pier 3.",
    ]


def test_white_space_within_a_sentence_is_one_space() -> None:
    text = "The new office of  the company is\u00a0in the\tCopper  House."
    assert sentences(Experience(id="a", context=text)) == ["The new office of the company is in the Copper House."]


@pytest.mark.parametrize("link", [" ", ", "])
def test_a_text_without_ends_is_read_in_pieces(link: str) -> None:
    words = [f"word{k}" for k in range(3000)]
    read = sentences(Experience(id="a", context=link.join(words)))
    assert all(4 <= len(piece.split()) <= LONGEST for piece in read)
    assert [word.strip(",") for piece in read for word in piece.split()] == words


def test_other_scripts_end_their_sentences_too() -> None:
    text = "यह नाव हर दिन नौ बजे जाती है। वह शाम को लौट आती है।"
    assert len(sentences(Experience(id="a", context=text))) == 2


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It was sold by George B. Storer to Dr. Ann Lee of St. Louis. Both are dead.", 2),
        ("A. A. Michelson measured it, i.e. the speed of light, cf. No. 12 of the list.", 1),
        ("Daly et al. 2001 found it first. The others came later.", 2),
        ("This is Vitamin C. The dose is small. Richard V. Lionheart came.", 4),  # a full stop, and a king
        ("She lives on Main St. The shop there is closed.", 2),
        ("Acme Inc. was founded at 4 p.m. on Monday. It is big.", 2),
        ("Das Fest findet am 3. Mai 2024 statt. Er kam am 3. und blieb. We saw 3. Then we left.", 4),
        ("He said no. Nobody came. No. Never. See No. 5 of the list.", 5),
    ],
)
def test_the_full_stop_of_an_abbreviation_ends_no_sentence(text: str, count: int) -> None:
    assert len(split(text)) == count
    assert " ".join(split(text)) == text


def test_a_sentence_that_begins_with_a_pronoun_says_whom_it_means() -> None:
    talk = Experience.model_validate(
        {
            "id": "a",
            "context": [
                {"role": "user", "content": "Ludmila Faber is our new head of support. Who has her key?"},
                {"role": "assistant", "content": "She has it herself since Monday."},
            ],
        }
    )
    assert sentences(talk) == [
        "Ludmila Faber is our new head of support.",
        "Ludmila Faber has it herself since Monday.",
    ]


def test_an_abbreviation_at_the_end_of_a_paragraph_ends_it() -> None:
    assert split("Call Team B.\n\nBob Ray has the key.") == ["Call Team B.", "Bob Ray has the key."]
    assert split("- We are Team A.\n- Bob Ray leads it.") == ["We are Team A.", "Bob Ray leads it."]


NOTICE = """# Galley Cafe
Opening hours
Monday: closed
Adult: 14 crowns
Wifi password: heron77
Owner: Mara Holt
Hello Ann!
Chapter 3
It costs 3.
"""


def test_short_lines_that_tell_something_are_told_and_headings_and_greetings_are_not() -> None:
    found = sentences(Experience(id="a", context=NOTICE))
    assert found == ["Monday: closed", "Adult: 14 crowns", "Wifi password: heron77", "Owner: Mara Holt", "It costs 3."]


@pytest.mark.parametrize(
    "text",
    [
        "Ich treffe Anna am Montag. Meine Katze war krank, und sie ist jetzt gesund.",
        "Jag bor i Lund. Min hund heter Rex och han är fem år.",
        "Mam psa i kota. Pies ma na imię Rex.",
        "Anna me rend visite. On a un chien, et il est malade.",
        "Her bor hun med sin mann. Han er fra Bergen og har en hund som heter Rex.",
        "Her gün saat dokuzda bu evden çıkarım. Ayşe Demir on beş yıl bu şirkette çalıştı.",
        "Анна живёт в Лунде. Его собака больна.",
    ],
)
def test_what_is_written_for_english_is_not_done_to_other_languages(text: str) -> None:
    turns = [{"role": "user", "content": text}]
    for context in (text, turns):
        experience = Experience.model_validate({"id": "a", "context": context})
        assert all(sentence in text for sentence in sentences(experience))
        told = [w.answer for w in echoes(sentences(experience), 2)]
        pairs = [QAPair(experience="a", question="?", answer=answer, kind="echo", writer="self") for answer in told]
        assert to_the_user(experience, pairs) == pairs


def test_names_alone_are_english() -> None:
    assert is_english("Meet Ana Luz. I am Ida.")
    assert is_english("Clara Thorne")
