"""Synthesis: question-answer pairs about an experience, written by the model itself with the context in front.

How the model writes is `models.writing`'s affair; here stands what may be trained on, whoever wrote it.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator

from models import forms, locality, writing
from models.answers import log_likelihoods
from models.contexts import beside
from models.facts import evidence, sentences
from models.metrics import normalise
from models.model import LanguageModel
from models.records import Experience, QAPair

log = logging.getLogger("selfparam")

SELF = "self"
RECORD = "record"
LOCALITY = "locality"


class EndpointConfig(BaseModel):
    """A server with OpenAI's chat interface that writes the pairs. Its key stands in the environment only."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(description="the interface's base, such as `http://127.0.0.1:8000/v1`; without a key in it")
    model: str = Field(min_length=1, description="the model's name at the endpoint; the pairs' writer")
    pairs: int = Field(20, ge=1, le=200, description="asked for about each experience; more are not kept")
    tries: int = Field(2, ge=1, description="how often it is asked, with another seed, while no pair can be read")
    concurrency: int = Field(8, ge=1, description="requests at a time")
    max_retries: int = Field(5, ge=0, description="of a request that failed, after a growing pause")
    timeout_seconds: float = Field(120.0, gt=0, description="for one request")
    temperature: float | None = Field(None, ge=0, description="none: the endpoint's own")
    max_tokens: int = Field(4096, ge=16, description="of one reply")
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="what the endpoint calls it; OpenAI's reasoning models know only the second"
    )
    key_env: str = Field("OPENAI_API_KEY", description="the environment variable that holds the key, if one is needed")
    price_per_million_input: float | None = Field(None, ge=0, description="for the report's cost, in any currency")
    price_per_million_output: float | None = Field(None, ge=0, description="the same, of what it writes")

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, url: str) -> str:
        parsed = HttpUrl(url)
        if parsed.username or parsed.password or parsed.query or parsed.fragment:
            raise ValueError("must hold no user, password, query or fragment: it is recorded with the settings")
        return url


class SynthesizeConfig(BaseModel):
    """How target sentences are written."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    samples: float = Field(1.2, ge=0, description="questions drawn for each word of a sentence; half are well asked")
    keep: int = Field(6, ge=0, description="of these the most that are kept for each sentence, or part of a long one")
    temperature: float = Field(0.7, gt=0, description="at which they are drawn")
    grammar: bool = Field(True, description="also ask what the grammar of a simple English sentence says to ask")
    echo: int = Field(2, ge=0, description="questions in the sentence's own words, for each sentence")
    yes_no: int = Field(
        0, ge=0, le=2, description="for each simple sentence, 1: a question to be answered by yes; 2: and one by no"
    )
    cloze: int = Field(1, ge=0, description="sentences to complete, for each sentence of a context")
    about: int = Field(3, ge=0, description="sentences in the answer to what is known about a name; 0 asks nothing")
    beside_given: bool = Field(
        True,
        description="also ask what the model itself and grammar make of the context's sentences where pairs came with "
        "the record, and what grammar does where they came from an endpoint; false: those pairs alone",
    )
    locality: bool = Field(
        True, description="beside each pair with a name, its near miss: the same about another name, not to be learnt"
    )
    least_gain: float = Field(
        0.1,
        description="nats per token by which the context must make the answer of an endpoint's pair likelier to the "
        "base; what is less is not in the context, or known without it",
    )
    question_tokens: int = Field(24, ge=8, description="longest question")
    batch_size: int = Field(192, ge=1, description="prompts that the model goes on with together")
    endpoint: EndpointConfig | None = Field(None, description="another model writes the pairs; none: the model itself")


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
    }
    return [*pairs, *_by_self(experience, by_kind)]


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
        self._words = [frozenset(normalise(p).split()) for p in probes]

    @classmethod
    def of(cls, experiences: Sequence[Experience], forbidden: Sequence[str]) -> "Leak":
        """Of the experiences' own probes and everything else that is forbidden."""
        return cls([*forbidden, *(p.question for e in experiences for p in e.probes)])

    def holds(self, question: str) -> bool:
        words = frozenset(normalise(question).split())
        return any(len(words & probe) >= self._likeness * len(words | probe) for probe in self._words)


def neighbours(experiences: Sequence[Experience], pairs: Sequence[QAPair], leak: Leak) -> list[QAPair]:
    """A near miss of each of `pairs` that has one: what must not be said of others (kind `locality`)."""
    texts = {experience.id: experience.text for experience in experiences}
    names = [name for name in locality.TRAINED if not any(name in text for text in texts.values())]
    found = [
        pair.model_copy(update={"question": miss[0], "answer": miss[1], "kind": LOCALITY, "evidence": None})
        for pair in pairs
        if (miss := locality.near_miss(pair.question, pair.answer, names, texts[pair.experience]))
    ]
    taken = Leak([pair.question for pair in pairs], likeness=1)
    return [pair for pair in filtered(found, leak) if not taken.holds(pair.question)]


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
