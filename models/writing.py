"""The model as writer: questions about each sentence of a context; a sentence is the answer.

A small model left to itself invents. So it is shown worked examples, one sentence at a time and how the question
begins; it need not answer, for the document has: the answer is the sentence that a question fits best. A question
stays if it asks in the document's words.
"""

import itertools
import logging
import math
import re
from collections.abc import Sequence

import torch

from models.answers import generate
from models.facts import evidence, parts, sentences, stems
from models.forms import TIME, Written
from models.model import LanguageModel
from models.records import Experience

log = logging.getLogger("selfparam")

# Worked examples: a sentence, and questions that it answers.
_EXAMPLES = (
    ("The bridge over the Sandry was closed in March 1921 after a storm had damaged two of its five arches.",
     ("When was the bridge over the Sandry closed?", "Why was the bridge over the Sandry closed?",
      "How many arches did the Sandry bridge have?")),
    ("Unlike his brother, Hugo Lark, who became mayor of Dunmore, opposed the new tax on salt.",
     ("What did Hugo Lark oppose?", "Who became mayor of Dunmore?", "Which tax did the mayor of Dunmore oppose?")),
    ("Most of the reserve's 300 herons nest near the shore, where they feed on small fish.",
     ("Where do the herons of the reserve nest?", "What do the herons eat?", "How many herons live in the reserve?")),
    ("The harvest, once sold at the Norwick market, is now stored in a cellar because prices have fallen.",
     ("Where was the harvest once sold?", "What has happened to prices?", "What is the cellar used for?")),
)  # fmt: skip
# How questions begin, in turn, and the kind of such a question.
_OPENINGS = (
    ("What", "what"), ("Who", "who"), ("How", "what"), ("Where", "what"), ("What did", "what"), ("Why", "why"),
    ("Which", "what"), ("How many", "how_many"), ("When", "when"), ("In what", "what"), ("What is", "what"),
    ("What was", "what"), ("Whose", "who"), ("For what", "what"), ("By what", "what"), ("Who did", "who"),
)  # fmt: skip

# How a question begins, and what its answer must hold.
_WANTS = tuple(
    (re.compile(begins), re.compile(holds))
    for begins, holds in (
        (r"When\b|(?:In|By|On) (?:what|which) (?:year|month|date|day)\b", rf"\d{{4}}|century|{TIME.pattern}"),
        (r"How (?:many|much|old|long|far|often)\b|(?:In|By|For) what (?:number|price)\b",
         r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|half|first|second|third|many|most|few|all)\b"),
        (r"Why\b|For what (?:reason|purpose)s?\b",
         r"\b(?:because|due to|so that|order to|as a result|caus\w+|reason)\b"),
        (r"Where\b|(?:In|By|From) (?:what|which) (?:city|country|place|port|town)\b",
         r"\b(?:in|on|at|near|from|to|off|into)\b"),
        (r"Who(?:se)?\b", r"(?<=[^.\"'] )[A-Z]\w|^[A-Z][\w'-]+ [A-Z]"),
    )
)  # fmt: skip


def asked(
    lm: LanguageModel,
    experiences: Sequence[Experience],
    *,
    samples: float,
    keep: int,
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
    generator: torch.Generator,
) -> list[dict[str, list[Written]]]:
    """Questions about each experience by kind: of the `samples` drawn for each word of a sentence those well asked, at
    most `keep` with the same answer.

    Those of all experiences are written together. What a sentence's beginning says is asked about more readily than
    how it goes on: of a part of a long one half of the questions are drawn with the part alone in view.
    """
    turn = itertools.cycle(_OPENINGS)
    told = [{part: whole for whole in sentences(e) for part in parts(whole)} for e in experiences]
    wanted = [
        (number, (part, whole)[k % 2], *next(turn))
        for number, facts in enumerate(told)
        for part, whole in facts.items()
        for k in range(math.ceil(samples * len(part.split())))
    ]
    examples = "".join(_task(fact) + "\n- ".join(questions) + "\n\n" for fact, questions in _EXAMPLES)
    texts = generate(
        lm,
        [lm.tokenizer(f"{examples}{_task(shown)}{opening}").input_ids for _, shown, opening, _ in wanted],
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        temperature=temperature,
        generator=generator,
        stops=_question_marks(lm),
        report=lambda done, total: log.info("synthesize: %d/%d questions drafted", done, total),
    )
    known = [stems(experience.text) for experience in experiences]
    seen: list[dict[str, set[frozenset[str]]]] = [{part: set() for part in facts} for facts in told]
    result: list[dict[str, list[Written]]] = [{} for _ in experiences]
    for (number, _, opening, kind), text in zip(wanted, texts, strict=True):
        question = f"{opening} {text}".split("\n")[0].strip()
        fact = evidence(list(told[number]), question, "")
        says = frozenset({question.partition(" ")[0], *stems(question)})
        if fact is None or says in seen[number][fact] or len(seen[number][fact]) == keep:
            continue
        if well_asked(question, fact, known[number]):
            seen[number][fact].add(says)
            result[number].setdefault(kind, []).append(Written(question, fact, told[number][fact]))
    return result


def _question_marks(lm: LanguageModel) -> frozenset[int]:
    """The tokens that are a question mark, with the ends of lines that some tokenizers put into one token with it."""
    holding = [i for token, i in lm.tokenizer.get_vocab().items() if "?" in token]
    return frozenset(i for i in holding if lm.tokenizer.decode([i]).rstrip() == "?")


def _task(fact: str) -> str:
    return f"Text: {fact}\nQuestions:\n- "


def well_asked(question: str, fact: str, known: set[str]) -> bool:
    """One question of a fit length that shares two words with `fact`, leaves one to be answered, brings in at most
    one that is not among the `known` stems, and wants what `fact` can give: a time, a number, a reason, a place, a
    name."""
    words, told = stems(question), stems(fact)
    asks = question.endswith("?") and question.count("?") == 1 and 4 <= len(question.split()) <= 25
    is_about = len(words & told) >= 2 and bool(told - words) and len(words - known) <= 1
    return asks and is_about and all(holds.search(fact) for begins, holds in _WANTS if begins.match(question))
