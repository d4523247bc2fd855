"""What a version remembers of its lessons: target sentences with the teacher's states, for the rounds to come.

Used in training only, never at inference. Unrelated text holds the model still; replayed sentences of earlier
batches keep what they taught. The number of replayed sentences has a budget, so a round's cost does not grow
with the history. What a later fact supersedes is let go.
"""

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from models.facts import stems
from models.files import lines_of, written_aside
from models.metrics import alike, normalise, words_of
from models.teacher import TargetSentence

UNRELATED = "unrelated"
ASKED_AGAIN = 0.75  # share of the words of two questions that both have


def save_sentences(folder: Path, sentences: Sequence[TargetSentence]) -> None:
    """Write `sentences.jsonl` and `states.safetensors` (all states, one after the other, [tokens, width])."""
    with written_aside(folder) as aside:
        aside.mkdir(parents=True)
        with (aside / "sentences.jsonl").open("w", encoding="utf-8") as out:
            for s in sentences:
                fields = {k: v for k, v in vars(s).items() if k != "states_TD"}
                out.write(json.dumps(fields, ensure_ascii=False) + "\n")
        states = torch.cat([s.states_TD for s in sentences]) if sentences else torch.zeros(0)
        save_file({"states": states.contiguous()}, aside / "states.safetensors")


def load_sentences(folder: Path) -> list[TargetSentence]:
    """Read what `save_sentences` wrote, in its order."""
    states = load_file(folder / "states.safetensors")["states"]
    sentences, at = [], 0
    for line in lines_of(folder / "sentences.jsonl"):
        fields = json.loads(line)
        tokens = len(fields["answer"])
        fields |= {"prompt": tuple(fields["prompt"]), "answer": tuple(fields["answer"])}
        sentences.append(TargetSentence(**fields, states_TD=states[at : at + tokens]))
        at += tokens
    if at != len(states):
        raise ValueError(f"{folder}: {len(states)} states for {at} tokens; rebuild it with `dvc repro`")
    return sentences


def without_superseded(replay: Sequence[TargetSentence], new: Sequence[TargetSentence]) -> list[TargetSentence]:
    """The replayed sentences whose question the new batch does not ask again with another answer.

    Questions need not be the same: "How much is it?" is asked again by "How much is it now?". But where each says what
    the other does not (article 1001, article 1002; Monday, Tuesday; a single, a return ticket) they ask about two
    things, however alike. Where two questions for one answer are asked again, all for it go ("What costs 14 crowns?"):
    one alone may be open ("What do you know about the ferry?").
    """
    asked = [(s.question, words_of(s.question)) for s in new]
    same = {(s.question, s.answer) for s in new}
    changed = [s for s in replay if (s.question, s.answer) not in same and _asked_again(s.question, asked)]
    questions, told = {s.question for s in changed}, Counter(_told(s) for s in changed if s.evidence)
    return [s for s in replay if (s.question, s.answer) in same or (s.question not in questions and told[_told(s)] < 2)]


def _told(sentence: TargetSentence) -> tuple[object, ...]:
    """What a sentence tells, however it is asked for."""
    return sentence.origin, sentence.experience, sentence.evidence, sentence.answer


def _asked_again(question: str, asked: Sequence[tuple[str, frozenset[str]]]) -> bool:
    words = words_of(question)
    return any(
        alike(words, theirs, ASKED_AGAIN)
        and not (_says_more(question, words - theirs, theirs) and _says_more(other, theirs - words, words))
        for other, theirs in asked
    )


def _says_more(question: str, words: frozenset[str], others: frozenset[str]) -> bool:
    """Whether one of these words of a question, which the other does not have, tells what it is about: a number, a name
    (written with a capital, and not as its first word), or a word that is no other form of one of the other's."""
    said = [word.strip(".,;:!?\"'()") for word in question.split()]
    named = {normalise(word) for word in said[1:] if word[:1].isupper()}
    return any(word in named or any(map(str.isdigit, word)) for word in words) or bool(
        stems(" ".join(words)) - stems(" ".join(others))
    )


def within_budget(sentences: Sequence[TargetSentence], budget: int, *, seed: int) -> list[TargetSentence]:
    """At most `budget` sentences, as many of each experience as of any other, drawn with `seed`.

    Every experience keeps a voice, however old: the share of each shrinks as their number grows. Of more experiences
    than the budget has room for, some have none: which, does not depend on their age.
    """
    generator = torch.Generator().manual_seed(seed)
    by_experience: dict[tuple[str, str], list[int]] = {}
    for i in torch.randperm(len(sentences), generator=generator).tolist():
        by_experience.setdefault((sentences[i].origin, sentences[i].experience), []).append(i)
    kept: list[int] = []
    turns = [iter(by_experience[key]) for key in sorted(by_experience, key=lambda key: _drawn(key, seed))]
    while turns and len(kept) < budget:
        for turn in list(turns):
            i = next(turn, None)
            if i is None:
                turns.remove(turn)
            elif len(kept) < budget:
                kept.append(i)
    return [sentences[i] for i in sorted(kept)]


def _drawn(experience: tuple[str, str], seed: int) -> bytes:
    """A place in an order that is the same in every round, whoever else is there: who was drawn once stays longest."""
    return sha256(repr((seed, experience)).encode()).digest()
