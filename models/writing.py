"""The model as writer: questions about each sentence of a context, asked for an answer that is known beforehand.

A small model left to itself invents. So spans of a sentence are chosen as answers first; the model, after worked
examples and with an opening that fits the span, writes the question; and a question stays only if the model with
the context in front of it gives that span back (round-trip consistency, Alberti et al. 2019).

Kinds: `question` (written by the model), `echo` (the sentence with its span asked for in place), `cloze` (a
sentence to complete), `tell` (what it says of its subject), `about` (what it says of a name). All but the first
need no model, so every fact is asked about even where the model finds no good question.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from models.answers import answer, generate
from models.contexts import chat_text
from models.metrics import normalise
from models.model import LanguageModel
from models.records import Experience

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

_PLACE = {"in", "on", "at", "near", "to", "from", "into", "outside", "behind"}
_LINK = _PLACE | {"is", "are", "was", "were", "of", "with", "by", "costs", "called", "for", "as", "has", "have"}
_VERB = re.compile(r"is|are|was|were|has|have|costs|pays|.{3,}ed")
_NAME = re.compile(r"[A-Z][\w'-]+(?: [A-Z][\w'-]+)*")
_NUMBER = re.compile(r"\d[\d:.,]*(?<=\d)(?: [a-z]+)?")
_TIME = re.compile(
    r"\d:\d\d|midnight|noon|January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|[ap]\.?m\.?\b"
)
# Words that a question may bring in by itself.
_FREE = frozenset(
    """a an the is are was were be been do does did has have had what who whom whose which when where why how many much
    of in on at to from for with by as it its that this these there name called cost price pay number person people
    place kind type time date day happened according can will would should and or one about known long far old new
    located found used work works situated responsible job position title""".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Span:
    """A part of a sentence that can be asked for: the openings that fit it, and the words that stand in for it."""

    text: str
    openings: tuple[str, ...]
    stand_in: str


def write_questions(
    lm: LanguageModel,
    experience: Experience,
    *,
    samples: int,
    keep: int,
    temperature: float,
    question_tokens: int,
    answer_tokens: int,
    batch_size: int,
    generator: torch.Generator,
    avoid: Callable[[str], bool],
) -> list[tuple[str, str]]:
    """(question, answer) pairs that passed the round trip, at most `keep` a sentence.

    Each span is asked for with every opening that fits, greedily, and `samples` times by sampling. A question that
    `avoid` says yes to is never returned.
    """
    facts = sentences(experience)
    drafts = []
    for fact in facts:
        for span in spans(fact):
            drafts += [(fact, span, opening, 0.0) for opening in span.openings]
            openings = ("", *span.openings)
            drafts += [(fact, span, openings[k % len(openings)], temperature) for k in range(samples)]
    topic = facts[0] if facts else ""
    texts: dict[int, str] = {}
    for heat in (0.0, temperature):
        chosen = [i for i, draft in enumerate(drafts) if draft[3] == heat]
        prompts = [_prompt(lm, topic, *drafts[i][:3]) for i in chosen]
        written = generate(
            lm,
            prompts,
            max_new_tokens=question_tokens,
            batch_size=batch_size,
            temperature=heat,
            generator=generator,
            stops=frozenset(lm.tokenizer("?", add_special_tokens=False).input_ids),
        )
        texts |= dict(zip(chosen, written, strict=True))
    known = set(normalise(experience.text).split())
    asked: dict[tuple[str, str], Span] = {}
    for i, (fact, span, opening, _) in enumerate(drafts):
        question = f"{opening} {texts[i]}".strip().split("\n")[0].strip()
        if well_asked(question, span, known) and not avoid(question):
            asked.setdefault((fact, question), span)
    replies = answer(
        lm, [q for _, q in asked], [experience.text] * len(asked), max_new_tokens=answer_tokens, batch_size=batch_size
    )
    kept: dict[str, list[tuple[str, str]]] = {fact: [] for fact in facts}
    for ((fact, question), span), reply in zip(asked.items(), replies, strict=True):
        if len(kept[fact]) < keep and _has(reply, span.text):
            kept[fact].append((question, reply if len(reply) <= 1.5 * len(fact) else fact))
    return [pair for fact in facts for pair in kept[fact]]


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


def well_asked(question: str, span: Span, known: set[str]) -> bool:
    """One question of a fit length that does not give its answer away and brings in at most one word of its own."""
    words = normalise(question).split()
    asks = question.endswith("?") and question.count("?") == 1 and 4 <= len(words) <= 25
    invented = [w for w in words if w not in known and w not in _FREE]
    return asks and not _has(question, span.text) and len(invented) <= 1


def _has(text: str, span: str) -> bool:
    return f" {normalise(span)} " in f" {normalise(text)} "


def spans(fact: str) -> list[Span]:
    """What can be asked for in a sentence: numbers, names, how it ends, how it begins."""
    words = fact.rstrip(".!").split()
    found = [m.group() for m in _NUMBER.finditer(fact)]
    last_link = max((i for i, word in enumerate(words[:-1]) if word.lower() in _LINK), default=len(words) - 3)
    found.append(" ".join(words[last_link + 1 :]))
    found += [m.group() for m in _NAME.finditer(fact) if m.start() > 0]
    verb = next((i for i, word in enumerate(words[2:8], start=2) if _VERB.fullmatch(word)), 0)
    if verb:
        found.append(" ".join(words[:verb]))
    first_name = next((m for m in _NAME.finditer(fact) if m.start() > 0), None)
    if first_name and len(fact[: first_name.end()].split()) <= 5:
        found.append(fact[: first_name.end()])
    texts = [t.strip(" .,!") for t in found]
    distinct = {normalise(t): t for t in reversed(texts) if normalise(t) and len(t) <= 0.7 * len(fact)}
    return [_span(fact, words, text) for text in reversed(distinct.values())]


def _span(fact: str, words: Sequence[str], text: str) -> Span:
    before = fact[: fact.find(text)].split()
    after_place = bool(before) and before[-1].lower() in _PLACE
    after_place |= len(before) > 1 and before[-1].lower() == "the" and before[-2].lower() in _PLACE
    number, noun = text[:1].isdigit(), text.split()[-1]
    if _TIME.search(text):
        return Span(text, ("When", "At what time", "On which day"), "what time")
    if number:
        counted = noun if noun.isalpha() else ""
        return Span(text, ("How many", "How much", "What is the"), f"how many {counted}".strip())
    if after_place:
        return Span(text, ("Where", "In which", "To which", "What is the name of the"), "which place")
    if text[0].isupper() and before:
        return Span(text, ("Who is", "What is the name of", "Which"), "who or what")
    return Span(text, ("What", "What is the", "Which"), "what")


def echoes(facts: Sequence[str], count: int) -> list[tuple[str, str]]:
    """A sentence with a span asked for in place; where the document's main name is missing, that stands in front."""
    name = main_name(facts)
    result = []
    for fact in facts:
        for span in spans(fact)[:count]:
            body = fact.rstrip(".!").replace(span.text, span.stand_in, 1)
            if name and name not in fact:
                body = f"About {name}: {body}"
            result.append((body[0].upper() + body[1:] + "?", fact))
    return result


def tells(facts: Sequence[str]) -> list[tuple[str, str]]:
    """For "X is Y": "Tell me X." """
    result = []
    for fact in facts:
        match = re.match(r"(The|A|An) (.+?) (?:is|are|was|were) ", fact)
        if match:
            result.append((f"Tell me {match.group(1).lower()} {match.group(2)}.", fact))
    return result


def clozes(facts: Sequence[str], count: int) -> list[tuple[str, str]]:
    """A sentence cut off before its spans; the whole sentence is the answer."""
    result = []
    for fact in facts:
        starts = sorted({fact.find(span.text) for span in spans(fact)} - {0}, reverse=True)
        result += [(f"Complete the sentence: {fact[:start].strip()} ...", fact) for start in starts[:count]]
    return result


def abouts(facts: Sequence[str], count: int) -> list[tuple[str, str]]:
    """For names of two words and more: the first `count` sentences that hold them, together."""
    said: dict[str, list[str]] = {}
    for fact in facts:
        for name in _NAME.findall(fact):
            if " " in name:
                said.setdefault(name.removeprefix("The "), []).append(fact)
    return [(f"What do you know about {name}?", " ".join(held[:count])) for name, held in said.items() if count]


def main_name(facts: Sequence[str]) -> str | None:
    """The name of two words or more that most sentences hold; the first of equals."""
    names = Counter(
        name for fact in facts for name in dict.fromkeys(_NAME.findall(fact)) if " " in name and fact.find(name) > 0
    )
    return max(names, key=lambda name: (names[name], -" ".join(facts).find(name)), default=None)


_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def sentences(experience: Experience) -> list[str]:
    """The sentences of a context, in order, of at least four words; a conversation's without the roles."""
    context = experience.context
    text = context if isinstance(context, str) else "\n".join(turn.content for turn in context)
    parts = [part.strip() for part in _SENTENCE_END.split(text)]
    return list(dict.fromkeys(part for part in parts if len(part.split()) >= 4 and not part.endswith("?")))
