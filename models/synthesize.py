"""Synthesis: question-answer pairs about an experience, written by the model itself, sentence by sentence.

How the model writes is `models.writing`'s affair; here stands what may be trained on, whoever wrote it.
"""

import logging
import math
from collections.abc import Mapping, Sequence

import torch

from models import forms, locality, notices, writing
from models.answers import log_likelihoods
from models.configs import SynthesizeConfig
from models.contexts import beside
from models.coreference import addressed
from models.english import is_english
from models.facts import USERS, evidence, sentences, spoken
from models.metrics import alike, normalise, words_of
from models.model import LanguageModel
from models.records import Experience, QAPair

log = logging.getLogger("selfparam")

SELF = "self"
RECORD = "record"
LOCALITY = "locality"


def synthesize(
    lm: LanguageModel,
    experiences: Sequence[Experience],
    config: SynthesizeConfig,
    *,
    seed: int,
    forbidden: Sequence[str] = (),
) -> list[QAPair]:
    """Pairs for every experience: those that it came with, or else (or beside) written here by `lm`; and by grammar.

    No question that (nearly) equals one of `forbidden` or of the experiences' own probes is returned.
    """
    leak = Leak.of(experiences, forbidden)
    to_ask = [experience for experience in experiences if config.beside_given or not experience.qa]
    asked = writing.asked(
        lm,
        to_ask,
        samples=config.samples,
        keep=config.keep,
        temperature=config.temperature,
        max_new_tokens=config.question_tokens,
        batch_size=config.batch_size,
        generator=torch.Generator().manual_seed(seed),
    )
    own = {experience.id: _by_self(experience, by_kind) for experience, by_kind in zip(to_ask, asked, strict=True)}
    pairs: list[QAPair] = []
    for number, experience in enumerate(experiences, start=1):
        written = [*given(experience), *own.get(experience.id, ())]
        if config.beside_given or not experience.qa:
            written = with_forms(experience, written, config)
        kept = filtered(written, leak)
        log.info("synthesize %d/%d %s: %d pairs", number, len(experiences), experience.id, len(kept))
        pairs += kept
    return pairs


def with_forms(experience: Experience, pairs: Sequence[QAPair], config: SynthesizeConfig) -> list[QAPair]:
    """`pairs` about one experience, and beside them what grammar makes of its sentences."""
    facts = sentences(experience)
    asked = forms.asked(facts) if config.grammar else []
    plain = [form.written() for form in asked]
    proven = [forms.Written(pair.question, pair.answer, pair.evidence) for pair in pairs if pair.evidence]
    by_kind = {
        "plain": [*plain, *forms.placed(asked, facts)],
        "reversed": forms.reverses(facts) if config.grammar else [],
        "why": forms.whys(facts) if config.grammar else [],
        "combined": forms.combined([*plain, *proven], facts),
        "yes_no": forms.polars(facts, config.yes_no),
        "echo": forms.echoes(facts, config.echo),
        "cloze": forms.clozes(facts, config.cloze),
        "tell": forms.tells(facts),
        "about": forms.abouts(facts, config.about),
        "field": notices.fields(facts),
        "reply": [forms.Written(asked, said, f"{asked} {said}") for asked, said in notices.replies(experience)],
    }
    return to_the_user(experience, [*pairs, *_by_self(experience, by_kind)])


def to_the_user(experience: Experience, pairs: Sequence[QAPair]) -> list[QAPair]:
    """`pairs` about a conversation in English; where an answer is what its user said of themselves, it is said to them.

    "What is my dog called?" is answered by "Your dog is called Rex", and not by what the user said, "my dog".
    """
    if isinstance(experience.context, str) or not is_english(experience.text):
        return list(pairs)
    said = {sentence: addressed(sentence) for role, sentence in spoken(experience) if role.lower() in USERS}
    turned = {sentence: other for sentence, other in said.items() if other != sentence}
    if not turned:
        return list(pairs)

    def reply(answer: str) -> str:
        if any(answer in sentence for sentence in turned):  # one, or a part of it
            return addressed(answer)
        for sentence, other in turned.items():
            answer = answer.replace(sentence, other)
        return answer

    return [pair.model_copy(update={"answer": reply(pair.answer)}) if pair.writer == SELF else pair for pair in pairs]


def _by_self(experience: Experience, by_kind: Mapping[str, Sequence[forms.Written]]) -> list[QAPair]:
    return [
        QAPair(experience=experience.id, kind=kind, writer=SELF, **pair._asdict())
        for kind, written in by_kind.items()
        for pair in written
    ]


class Leak:
    """Recognises questions that must not be trained on: equal to a probe after normalisation, or nearly so."""

    def __init__(self, probes: Sequence[str], likeness: float = 0.9) -> None:
        self._likeness = likeness
        self._with: dict[str, list[frozenset[str]]] = {}  # the probes by each of their words
        for words in set(map(words_of, probes)):
            for word in words:
                self._with.setdefault(word, []).append(words)

    @classmethod
    def of(cls, experiences: Sequence[Experience], forbidden: Sequence[str]) -> "Leak":
        """Of the experiences' own probes and everything else that is forbidden."""
        return cls([*forbidden, *(p.question for e in experiences for p in e.probes)])

    def holds(self, question: str) -> bool:
        words = words_of(question)
        # a probe that is so like it lacks few of its words, so it has one of any `few + 1`: of the rarest
        few = len(words) - math.floor(self._likeness * len(words))
        rarest = sorted(words, key=lambda word: len(self._with.get(word, ())))[: few + 1]
        return any(alike(words, probe, self._likeness) for word in rarest for probe in self._with.get(word, ()))


def neighbours(experiences: Sequence[Experience], pairs: Sequence[QAPair], leak: Leak) -> list[QAPair]:
    """A near miss of each of `pairs` that has one: what must not be said of others (kind `locality`)."""
    texts = {experience.id: experience.text for experience in experiences}
    names = [name for name in locality.TRAINED if not any(name in text for text in texts.values())]
    found = [
        pair.model_copy(update={"question": miss[0], "answer": miss[1], "kind": LOCALITY, "evidence": None})
        for pair in pairs
        if (miss := locality.near_miss(pair.question, pair.answer, names, texts[pair.experience]))
    ]
    taken = {words_of(pair.question) for pair in pairs}
    return [pair for pair in filtered(found, leak) if words_of(pair.question) not in taken]


def given(experience: Experience) -> list[QAPair]:
    """The pairs that an experience came with."""
    return with_evidence(
        experience,
        [
            QAPair(experience=experience.id, question=q.question, answer=q.answer, kind="given", writer=RECORD)
            for q in experience.qa
        ],
    )


def with_evidence(experience: Experience, pairs: Sequence[QAPair]) -> list[QAPair]:
    """Pairs that somebody else wrote, each with the sentence of the context that it seems to rest on."""
    facts = sentences(experience)
    return [p.model_copy(update={"evidence": evidence(facts, p.question, p.answer)}) for p in pairs]


def grounded(lm: LanguageModel, experience: Experience, pairs: Sequence[QAPair], least_gain: float) -> list[QAPair]:
    """The pairs whose answer `lm` finds likelier with the context than without, by `least_gain` nats per token.

    An answer that the context does not make likelier is not in it, or was known before.
    """
    questions, replies = [p.question for p in pairs], [p.answer for p in pairs]
    contexts = [beside(experience.text, p.evidence) for p in pairs]
    opened = log_likelihoods(lm, questions, replies, contexts)
    closed = log_likelihoods(lm, questions, replies)
    return [pair for pair, a, b in zip(pairs, opened, closed, strict=True) if a - b >= least_gain]


def filtered(pairs: Sequence[QAPair], leak: Leak) -> list[QAPair]:
    """What may be trained on, whoever wrote it: no probe, and nothing twice."""
    return distinct([pair for pair in pairs if not leak.holds(pair.question)])


def unlike(pairs: Sequence[QAPair], likeness: float = 0.9) -> list[QAPair]:
    """Without pairs whose answer, normalised, and nearly all words of whose question came before."""
    asked: dict[str, list[frozenset[str]]] = {}
    kept = []
    for pair in pairs:
        words = words_of(pair.question)
        before = asked.setdefault(normalise(pair.answer), [])
        if not any(alike(words, other, likeness) for other in before):
            before.append(words)
            kept.append(pair)
    return kept


def distinct(pairs: Sequence[QAPair]) -> list[QAPair]:
    """Without pairs whose question and answer, normalised, came before."""
    seen = set()
    kept = []
    for pair in pairs:
        key = (normalise(pair.question), normalise(pair.answer))
        if key not in seen:
            seen.add(key)
            kept.append(pair)
    return kept
