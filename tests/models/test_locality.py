"""Near misses: a neighbour's question, never the question itself and never one of another list's names."""

from collections.abc import Sequence

import pytest
import torch

from models import locality
from models.answers import answer, of_states
from models.locality import MEASURED, TRAINED, UNLIKELY, held, near_miss
from models.model import LanguageModel
from models.teacher import target_sentences


def asked(question: str, names: Sequence[str]) -> str | None:
    miss = near_miss(question, "", names, "")
    return miss and miss[0]


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
        miss = asked(question, names)
        assert miss in [kept.format(name) for name in names]
        assert not exchanged or exchanged not in miss
        assert asked(question, names) == miss


def test_it_is_the_name_that_the_text_is_about() -> None:
    text = "The Silver Otter lost power. Bramble pulled the Silver Otter to Ellisund."
    miss = near_miss("What pulled the Silver Otter to Ellisund?", "Bramble did, the Silver Otter.", ("Selby",), text)
    assert miss == ("What pulled the Selby Otter to Ellisund?", "Bramble did, the Selby Otter.")
    assert near_miss("What pulled the Silver Otter to Ellisund?", "Bramble, to Ellisund.", ("Selby",), text) is None
    assert near_miss("Who came to Ellisund?", "", ("Selby",), text) == ("Who came to Selby?", "")


def test_a_name_that_the_question_holds_already_is_not_put_in() -> None:
    assert asked("Who is Rowan Bell?", ("Rowan", "Selby")) == "Who is Selby Bell?"
    assert asked("Who is the friend of Rowan at the Selby Inn?", ("Rowan", "Selby", "Orla")) == (
        "Who is the friend of Rowan at the Orla Inn?"
    )
    assert asked("Who is Rowan Bell?", ("Rowan",)) is None


def test_without_a_name_the_year_is_another() -> None:
    miss = asked("What happened in the harbour in 1987?", TRAINED)
    assert miss
    assert miss != "What happened in the harbour in 1987?"
    assert 1970 < int(miss[-5:-1]) < 1987


@pytest.mark.parametrize("question", ["When does the ferry leave?", "Which car is it?", "What did I say?", ""])
def test_what_has_no_neighbour_has_no_near_miss(question: str) -> None:
    assert asked(question, TRAINED) is None


def test_what_is_trained_on_is_not_what_is_measured() -> None:
    assert not set(TRAINED) & set(MEASURED)


def test_the_answer_speaks_of_the_neighbour_too() -> None:
    miss = near_miss("Who runs Halvorn Ferries?", "Mara runs Halvorn Ferries; Halvorns are others.", ("Selby",), "")
    assert miss == ("Who runs Selby Ferries?", "Mara runs Selby Ferries; Halvorns are others.")
    assert near_miss("Who runs it in Orvane?", "Selby Holt.", ("Selby",), "") is None  # the answer holds that name
    assert near_miss("What was in 1987?", "In 1987 there was war.", (), "") == tuple(
        text.replace("1987", miss_year("What was in 1987?")) for text in ("What was in 1987?", "In 1987 there was war.")
    )


def miss_year(question: str) -> str:
    return asked(question, ()).split()[-1].rstrip("?")  # type: ignore[union-attr]


def test_the_base_is_held_from_the_first_word_that_it_would_hardly_say(lm: LanguageModel) -> None:
    (likely,) = answer(lm, ["Who runs it?"], max_new_tokens=4)
    misses = [("Who runs it?", likely), ("Who runs it?", f"{likely}QXJ!")]
    whole = target_sentences(lm, None, misses, origin="b")
    found = held(lm, misses, origin="b")
    for s in found:
        plain = next(w for w in whole if (*w.prompt, *w.answer[:-1]) == (*s.prompt, *s.answer))
        told = len(plain.answer) - 1 - len(s.answer)
        logp_T = of_states(lm, [plain.states_TD], [plain.answer])[0]
        assert all(logp >= UNLIKELY for logp in logp_T[:told])
        assert logp_T[told] < UNLIKELY
        assert torch.equal(s.states_TD, plain.states_TD[told:-1])
        assert (s.written, s.origin) == (0.0, "b")
    assert any(s.answer[-1] == whole[1].answer[-2] for s in found)  # what is strange is held, the end of turn is not
    assert held(lm, [], origin="b") == []


def test_what_tells_nothing_is_left_out(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locality, "UNLIKELY", -1e9)
    assert held(lm, [("Who runs it?", "Mara")], origin="b") == []
