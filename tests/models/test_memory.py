"""What is remembered comes back as it was, costs no more than its budget, and forgets what was superseded."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.memory import load_sentences, save_sentences, within_budget, without_superseded
from models.teacher import TargetSentence

Maker = Callable[..., TargetSentence]


def asked(sentences: list[TargetSentence]) -> list[str]:
    return [s.question for s in sentences]


def equal(a: TargetSentence, b: TargetSentence) -> bool:
    rest = [{k: v for k, v in vars(s).items() if k != "states_TD"} for s in (a, b)]
    return rest[0] == rest[1] and torch.equal(a.states_TD, b.states_TD)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_round_trip(tmp_path: Path, sentences: list[TargetSentence], dtype: torch.dtype) -> None:
    questions = [f"{s.question} é…\u2028\x85?" for s in sentences]
    kept = [
        replace(s, states_TD=s.states_TD.to(dtype), written=0.25, question=q)
        for s, q in zip(sentences, questions, strict=True)
    ]
    save_sentences(tmp_path / "memory", kept)
    back = load_sentences(tmp_path / "memory")
    assert all(equal(a, b) for a, b in zip(back, kept, strict=True))
    assert back[0].states_TD.dtype == dtype


def test_nothing_is_remembered_too(tmp_path: Path) -> None:
    save_sentences(tmp_path / "memory", [])
    assert load_sentences(tmp_path / "memory") == []


def test_states_that_do_not_fit_are_noticed(tmp_path: Path, sentences: list[TargetSentence]) -> None:
    save_sentences(tmp_path / "memory", sentences)
    lines = (tmp_path / "memory" / "sentences.jsonl").read_text().splitlines()
    (tmp_path / "memory" / "sentences.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(ValueError, match="dvc repro"):
        load_sentences(tmp_path / "memory")


def test_every_experience_keeps_an_equal_voice(sentence: Maker) -> None:
    sizes = {("b0", "one"): 50, ("b0", "two"): 3, ("b1", "one"): 20, ("b1", "three"): 7}
    many = [sentence(f"{o} {e} {k}?", origin=o, experience=e) for (o, e), n in sizes.items() for k in range(n)]
    for budget in (0, 1, 4, 15, 31, 79, 80, 1000):
        kept = within_budget(many, budget, seed=0)
        assert len(kept) == min(budget, 80)
        count = Counter((s.origin, s.experience) for s in kept)
        most = max(count.values(), default=0)
        assert all(count[k] >= min(size, most - 1) for k, size in sizes.items())
        assert len(set(asked(kept))) == len(kept)


def test_of_more_experiences_than_there_is_room_for_none_is_forgotten_for_its_age(sentence: Maker) -> None:
    memory: list[TargetSentence] = []
    for batch in range(8):
        new = [sentence(f"{batch} {e} {k}?", origin=f"b{batch}", experience=f"{e}") for e in range(100) for k in (0, 1)]
        memory = within_budget([*memory, *new], 200, seed=0)
    count = Counter(s.origin for s in memory)
    assert sum(count.values()) == 200
    assert all(10 <= count[f"b{batch}"] <= 40 for batch in range(8))  # 25 each, but for chance


def test_the_draw_repeats_with_its_seed_and_is_a_draw(sentence: Maker) -> None:
    many = [sentence(f"Question {k}?") for k in range(40)]
    assert asked(within_budget(many, 10, seed=1)) == asked(within_budget(many, 10, seed=1))
    assert asked(within_budget(many, 10, seed=1)) != asked(within_budget(many, 10, seed=2))


def test_cost_does_not_grow_with_the_history(sentence: Maker) -> None:
    remembered: list[TargetSentence] = []
    for batch in range(30):
        new = [sentence(f"{batch} {k}?", origin=f"b{batch:04d}", experience=f"e{k % 5}") for k in range(20)]
        remembered = within_budget([*remembered, *new], 60, seed=batch)
        assert len(remembered) <= 60
    assert len({s.origin for s in remembered}) > 5  # old batches still speak


def test_what_a_new_sentence_answers_otherwise_is_let_go(sentence: Maker) -> None:
    old = [sentence("Who runs the mill of Orvane?", answer=1), sentence("Where is the mill?", answer=2)]
    changed = sentence("who runs the mill of orvane", answer=7, origin="b0001")
    assert asked(without_superseded(old, [changed])) == ["Where is the mill?"]
    reworded = sentence("Who now runs the mill of Orvane?", answer=7, origin="b0001")
    assert asked(without_superseded(old, [reworded])) == ["Where is the mill?"]
    assert asked(without_superseded(old, [sentence("When is it open?", answer=7)])) == asked(old)
    confirmed = sentence("Who runs the mill of Orvane?", answer=1, origin="b0001")
    assert asked(without_superseded(old, [confirmed])) == asked(old)


def test_rows_of_a_table_do_not_supersede_one_another(sentence: Maker) -> None:
    old = [sentence(f"What is the price of article {k} in the spring catalogue?", answer=k) for k in range(1001, 1009)]
    new = [sentence("What is the price of article 1009 in the spring catalogue?", answer=3, origin="b0001")]
    assert without_superseded(old, new) == old
    again = sentence("What is now the price of article 1003 in the spring catalogue?", answer=3, origin="b0001")
    assert len(without_superseded(old, [again])) == len(old) - 1


def test_two_things_of_a_kind_do_not_supersede_one_another(sentence: Maker) -> None:
    old = [
        sentence("What is the price of the return ticket to the island?", answer=14),
        sentence("Which ferry leaves from the north pier at noon?", answer=3),
        sentence("What does an adult pay for the tour of the mill?", answer=5),
    ]
    new = [
        sentence("What is the price of the single ticket to the island?", answer=8, origin="b0001"),
        sentence("Which ferry leaves from the south pier at noon?", answer=4, origin="b0001"),
        sentence("What does a child pay for the tour of the mill?", answer=2, origin="b0001"),
    ]
    assert without_superseded(old, new) == old
    again = sentence("What is now the price of the return ticket to the island?", answer=16, origin="b0001")
    assert without_superseded(old, [again]) == old[1:]


def test_what_tells_the_same_falls_with_it(sentence: Maker) -> None:
    evidence = "A foot passenger pays 14 crowns."
    old = [
        replace(sentence("What does a foot passenger pay?", answer=14), evidence=evidence),
        replace(sentence("What is paid by a foot passenger?", answer=14), evidence=evidence),
        replace(sentence("What costs 14 crowns?", answer=14), evidence=evidence),
        replace(sentence("Who pays?", answer=9), evidence=evidence),
        sentence("What costs as much as a car?", answer=14),
    ]
    asked_again = [sentence(s.question, answer=17, origin="b0001") for s in old[:2]]
    assert without_superseded(old, asked_again) == old[3:]
    assert without_superseded(old, asked_again[:1]) == old[1:]
