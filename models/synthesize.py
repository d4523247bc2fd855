"""Synthesis: question-answer pairs about an experience, written by the model itself with the context in front.

A small model left to itself invents. So every question is asked about one sentence of the context, after worked
examples; the answer is the teacher's own where it says what that sentence says, else the sentence itself.
Kinds: `question` (asked about a sentence), `cloze` (a sentence to complete), `about` (a name, asked for).
"""

import logging
import re
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator

from models.answers import answer, generate
from models.contexts import chat_text
from models.metrics import normalise
from models.model import LanguageModel
from models.records import Experience, QAPair

log = logging.getLogger("selfparam")

SELF = "self"
RECORD = "record"


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

    samples: int = Field(12, ge=1, description="questions sampled for each sentence of a context")
    keep: int = Field(6, ge=1, description="questions kept for each sentence, after the filters")
    temperature: float = Field(0.8, gt=0, description="of the questions; answers are greedy")
    cloze: int = Field(2, ge=0, description="sentences to complete, for each sentence of a context")
    about: int = Field(1, ge=0, description="questions after each name in the context")
    question_tokens: int = Field(32, ge=8, description="longest question")
    answer_tokens: int = Field(40, ge=8, description="longest answer")
    batch_size: int = Field(64, ge=1, description="prompts that the model goes on with together")
    endpoint: EndpointConfig | None = Field(None, description="another model writes the pairs; none: the model itself")


# Worked examples: (what the document is about, a sentence, a question that names what it is about).
_EXAMPLES = (
    ("Opening hours of the Norwick library.", "The reading room opens at 8 in the morning.",
     "When does the reading room of the Norwick library open?"),
    ("Sale at the Quill clock shop.", "A green clock costs 300 dollars.",
     "How much does a green clock cost at the Quill clock shop?"),
    ("News from the town of Dunmore.", "The mayor of Dunmore is Hugo Lark.", "Who is the mayor of Dunmore?"),
    ("Report about the bridge in Sandry.", "A storm damaged the bridge.", "What damaged the bridge in Sandry?"),
    ("Message from Eva Marsh.", "The train of Eva Marsh leaves from platform 9.",
     "From which platform does the train of Eva Marsh leave?"),
)  # fmt: skip
_OPENINGS = ("", "", "", "Who", "What", "Which", "Where", "When", "How", "What is the name of", "In which", "How many")


def synthesize(
    lm: LanguageModel,
    experiences: Sequence[Experience],
    config: SynthesizeConfig,
    *,
    seed: int,
    forbidden: Sequence[str] = (),
) -> list[QAPair]:
    """Pairs for every experience: those it came with, or else written here by `lm` itself.

    No question that (nearly) equals one of `forbidden` or of the experiences' own probes is returned.
    """
    leak = Leak.of(experiences, forbidden)
    pairs: list[QAPair] = []
    for number, experience in enumerate(experiences, start=1):
        own = given(experience)
        if not own:
            own = write_pairs(lm, experience, config, torch.Generator().manual_seed(seed + number), leak)
        kept = filtered(own, leak)
        log.info("synthesize %d/%d %s: %d pairs", number, len(experiences), experience.id, len(kept))
        pairs += kept
    return pairs


def write_pairs(
    lm: LanguageModel, experience: Experience, config: SynthesizeConfig, generator: torch.Generator, leak: "Leak"
) -> list[QAPair]:
    """Pairs written by `lm` about one experience: questions, sentences to complete, names to explain."""
    facts = sentences(experience)
    if not facts:
        return []
    topic = facts[0]
    asked = [(fact, q) for fact, q in _ask(lm, topic, facts, config, generator) if not leak.holds(q)]
    answers = answer(
        lm,
        [q for _, q in asked],
        [experience.text] * len(asked),
        max_new_tokens=config.answer_tokens,
        batch_size=config.batch_size,
    )
    best: dict[str, list[tuple[str, str]]] = {fact: [] for fact in facts}
    for (fact, question), reply in zip(asked, answers, strict=True):
        if tells(reply, fact, question):
            best[fact].append((question, reply))
        elif _about(question, fact):
            best[fact].append((question, fact))
    pairs = [("question", q, a) for fact in facts for q, a in best[fact][: config.keep]]
    pairs += [("cloze", q, a) for fact in facts for q, a in _clozes(fact, config.cloze)]
    pairs += [("about", q, a) for q, a in _names(facts, config.about)]
    return [QAPair(experience=experience.id, question=q, answer=a, kind=kind, writer=SELF) for kind, q, a in pairs]


def _ask(
    lm: LanguageModel, topic: str, facts: Sequence[str], config: SynthesizeConfig, generator: torch.Generator
) -> list[tuple[str, str]]:
    """Sampled (sentence, question) candidates, without repetitions."""
    drawn: list[tuple[str, str]] = []
    prompts: list[list[int]] = []
    for fact in facts:
        for k in range(config.samples):
            opening = _OPENINGS[k % len(_OPENINGS)]
            drawn.append((fact, opening))
            prompts.append(_few_shot(lm, topic, fact, opening))
    texts = generate(
        lm, prompts, max_new_tokens=config.question_tokens, batch_size=config.batch_size,
        temperature=config.temperature, generator=generator,
    )  # fmt: skip
    seen: set[str] = set()
    result = []
    for (fact, opening), text in zip(drawn, texts, strict=True):
        question = f"{opening} {text}".strip() if opening else text
        question = question.split("\n")[0].strip()
        key = normalise(question)
        if question.endswith("?") and question.count("?") == 1 and 3 <= len(key.split()) <= 30 and key not in seen:
            seen.add(key)
            result.append((fact, question))
    return result


def _few_shot(lm: LanguageModel, topic: str, fact: str, opening: str) -> list[int]:
    task = "Document: {}\nSentence: {}\nWrite a question that this sentence answers."
    tokenizer = lm.tokenizer
    if not tokenizer.chat_template:
        shots = "".join(f"{task.format(t, s)}\n{q}\n\n" for t, s, q in _EXAMPLES)
        return tokenizer(f"{shots}{task.format(topic, fact)}\n{opening}").input_ids
    turns = [
        turn
        for t, s, q in _EXAMPLES
        for turn in ({"role": "user", "content": task.format(t, s)}, {"role": "assistant", "content": q})
    ]
    turns.append({"role": "user", "content": task.format(topic, fact)})
    return tokenizer(chat_text(tokenizer, turns) + opening, add_special_tokens=False).input_ids


def _clozes(fact: str, count: int) -> list[tuple[str, str]]:
    """The sentence with its end cut off at evenly spread places of its second half; the whole is the answer."""
    words = fact.split()
    if len(words) < 5:
        return []
    cuts = sorted({max(2, len(words) - 1 - round(k * len(words) / 4)) for k in range(count)})
    return [(f"Complete the sentence: {' '.join(words[:cut])} ...", fact) for cut in cuts]


_NAME = re.compile(r"\b[A-Z][\w'-]+(?: (?:of |the )?[A-Z][\w'-]+)+")


def _names(facts: Sequence[str], count: int) -> list[tuple[str, str]]:
    """For names of two words and more: what the document says where it first and last names them."""
    said: dict[str, list[str]] = {}
    for fact in facts:
        for name in _NAME.findall(fact):
            said.setdefault(name.removeprefix("The "), []).append(fact)
    return [(f"What do you know about {name}?", fact) for name, about in said.items() for fact in about[:count]]


_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def sentences(experience: Experience) -> list[str]:
    """The sentences of a context, in order, of at least four words; a conversation's without the roles."""
    text = (
        experience.context if isinstance(experience.context, str) else "\n".join(t.content for t in experience.context)
    )
    parts = [part.strip() for part in _SENTENCE_END.split(text)]
    return list(dict.fromkeys(part for part in parts if len(part.split()) >= 4 and not part.endswith("?")))


def tells(reply: str, fact: str, question: str) -> bool:
    """Whether a reply says something of the sentence that the question does not say, and invents little."""
    said, source, asked = (set(normalise(t).split()) for t in (reply, fact, question))
    return bool(said & (source - asked)) and len(said - source - asked) <= len(said) / 3


def _about(question: str, fact: str) -> bool:
    """Whether a question speaks of what the sentence speaks of and leaves something of it to tell."""
    asked, source = set(normalise(question).split()), set(normalise(fact).split())
    return len(asked & source) >= 2 and len(source - asked) >= 1


class Leak:
    """Recognises questions that must not be trained on: equal to a probe after normalisation, or nearly so."""

    def __init__(self, probes: Sequence[str]) -> None:
        self._words = [frozenset(normalise(p).split()) for p in probes]

    @classmethod
    def of(cls, experiences: Sequence[Experience], forbidden: Sequence[str]) -> "Leak":
        """Of the experiences' own probes and everything else that is forbidden."""
        return cls([*forbidden, *(p.question for e in experiences for p in e.probes)])

    def holds(self, question: str) -> bool:
        words = frozenset(normalise(question).split())
        return any(len(words & probe) >= 0.9 * len(words | probe) for probe in self._words)


def given(experience: Experience) -> list[QAPair]:
    """The pairs that an experience came with."""
    return [
        QAPair(experience=experience.id, question=q.question, answer=q.answer, kind="given", writer=RECORD)
        for q in experience.qa
    ]


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
