"""The model as writer: questions about each sentence of a context, asked for an answer that is known beforehand.

A small model left to itself invents. So spans of a sentence are chosen as answers first; the model, after worked
examples and with an opening that fits the span, writes the question; and a question stays only if the model that
reads the context and then the sentence gives that span back (round-trip consistency, Alberti et al. 2019).
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import torch

from models.answers import answer, generate
from models.contexts import beside, chat_text
from models.forms import Span, Written, sentences, spans
from models.metrics import normalise
from models.model import LanguageModel
from models.records import Experience

log = logging.getLogger("selfparam")

# Worked examples: what the document is about, a sentence of it, the answer, the question.
_EXAMPLES = (
    ("Opening hours of the Norwick library.", "The reading room opens at 8 in the morning.", "8 in the morning",
     "When does the reading room of the Norwick library open?"),
    ("Sale at the Quill clock shop.", "A green clock costs 300 dollars.", "300 dollars",
     "How much does a green clock cost at the Quill clock shop?"),
    ("News from the town of Dunmore.", "The mayor of Dunmore is Hugo Lark.", "Hugo Lark",
     "Who is the mayor of Dunmore?"),
    ("Report about the bridge in Sandry.", "A heavy storm damaged the bridge.", "A heavy storm",
     "What damaged the bridge in Sandry?"),
    ("Message from Eva Marsh.", "The train of Eva Marsh leaves from platform 9.", "platform 9",
     "From which platform does the train of Eva Marsh leave?"),
    ("Notes on the Harrow garden.", "The Harrow garden has 12 apple trees.", "12 apple trees",
     "How many apple trees does the Harrow garden have?"),
)  # fmt: skip
_TASK = "Document: {}\nSentence: {}\nAnswer: {}\nWrite the question."
# Words that a question may bring in by itself.
_FREE = frozenset(
    """a an the is are was were be been do does did has have had what who whom whose which when where why how many much
    of in on at to from for with by as it its that this these there name called cost price pay number person people
    place kind type time date day happened according can will would should and or one about known long far old new
    located found used work works situated responsible job position title""".split()  # noqa: SIM905
)


class Draft(NamedTuple):
    """A question about a sentence, asked for a span of it."""

    question: str
    fact: str
    span: Span


def drafts(
    lm: LanguageModel,
    experiences: Sequence[Experience],
    *,
    samples: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    generator: torch.Generator,
) -> list[list[Draft]]:
    """Well asked questions about each experience, unchecked; those of all experiences are written together.

    Each span is asked for with every opening that fits, greedily, and `samples` times by sampling.
    """
    wanted: list[tuple[int, str, Span, str, float]] = []
    prompts = []
    for number, experience in enumerate(experiences):
        facts = sentences(experience)
        for fact in facts:
            for span in spans(fact):
                openings = ("", *span.openings)
                asked = [(opening, 0.0) for opening in span.openings]
                asked += [(openings[k % len(openings)], temperature) for k in range(samples)]
                wanted += [(number, fact, span, opening, heat) for opening, heat in asked]
                prompts += [_prompt(lm, facts[0], fact, span, opening) for opening, _ in asked]
    texts = generate(
        lm,
        prompts,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        temperature=[heat for *_, heat in wanted],
        generator=generator,
        stops=frozenset(lm.tokenizer("?", add_special_tokens=False).input_ids),
        report=lambda done, total: log.info("synthesize: %d/%d questions drafted", done, total),
    )
    known = [set(normalise(experience.text).split()) for experience in experiences]
    found: list[dict[tuple[str, str], Draft]] = [{} for _ in experiences]
    for (number, fact, span, opening, _), text in zip(wanted, texts, strict=True):
        question = f"{opening} {text}".strip().split("\n")[0].strip()
        if well_asked(question, fact, span, known[number]):
            found[number].setdefault((fact, question), Draft(question, fact, span))
    return [list(own.values()) for own in found]


def answered(
    lm: LanguageModel,
    experience: Experience,
    asked: Sequence[Draft],
    *,
    keep: int,
    max_new_tokens: int,
    batch_size: int,
) -> list[Written]:
    """The drafts that pass the round trip, with the model's own answers, at most `keep` a sentence."""
    replies = answer(
        lm,
        [draft.question for draft in asked],
        [beside(experience.text, draft.fact) for draft in asked],
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
    )
    kept: dict[str, list[Written]] = {fact: [] for fact in sentences(experience)}
    for (question, fact, span), reply in zip(asked, replies, strict=True):
        if len(kept[fact]) < keep and _has(reply, span.text):
            kept[fact].append(Written(question, reply if len(reply) <= 1.5 * len(fact) else fact, fact))
    return [pair for of_fact in kept.values() for pair in of_fact]


def _prompt(lm: LanguageModel, topic: str, fact: str, span: Span, opening: str) -> list[int]:
    tokenizer = lm.tokenizer
    turns = [
        turn
        for about, sentence, reply, question in _EXAMPLES
        for turn in (
            {"role": "user", "content": _TASK.format(about, sentence, reply)},
            {"role": "assistant", "content": question},
        )
    ]
    turns.append({"role": "user", "content": _TASK.format(topic, fact, span.text)})
    if tokenizer.chat_template:
        return tokenizer(chat_text(tokenizer, turns) + opening, add_special_tokens=False).input_ids
    plain = "".join(f"{turn['content']}\n" + "\n" * (turn["role"] == "assistant") for turn in turns)
    return tokenizer(plain + opening).input_ids


def well_asked(question: str, fact: str, span: Span, known: set[str]) -> bool:
    """One question of a fit length about something that `fact` says, which does not give its answer away and brings
    in at most one word of its own."""
    words = normalise(question).split()
    asks = question.endswith("?") and question.count("?") == 1 and 4 <= len(words) <= 25
    invented = [w for w in words if w not in known and w not in _FREE]
    about = (set(words) & set(normalise(fact).split())) - _FREE
    return asks and bool(about) and not _has(question, span.text) and len(invented) <= 1


def _has(text: str, span: str) -> bool:
    return f" {normalise(span)} " in f" {normalise(text)} "
