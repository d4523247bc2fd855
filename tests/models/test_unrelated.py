"""User turns that the base writes itself."""

from models.metrics import normalise
from models.model import LanguageModel
from models.unrelated import user_turns


def test_turns_repeat_with_their_seed_and_are_distinct(lm: LanguageModel) -> None:
    turns = user_turns(lm, 60, seed=1)
    assert turns == user_turns(lm, 60, seed=1)
    assert turns != user_turns(lm, 60, seed=2)
    assert 0 < len(turns) <= 60
    assert len({normalise(turn) for turn in turns}) == len(turns)
    assert all(len(turn.split()) >= 3 and "\n" not in turn for turn in turns)


def test_none_are_written_where_none_are_asked_for(lm: LanguageModel) -> None:
    assert user_turns(lm, 0, seed=1) == []
