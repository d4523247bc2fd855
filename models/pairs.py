"""What a foreign writer is asked for, and how its reply is read: question-answer pairs about one text.

Pure text in, pure text out: knows no endpoint and no experience. A reply may be JSON lines (what is asked for), any
other JSON that holds such objects, or a list of questions and answers as chat models like to write it; what cannot be
read is left out.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

KINDS = {
    "what": "asks what, which or where",
    "who": "asks for a person or an organisation",
    "when": "asks for a date or a time",
    "how_many": "asks for a number or an amount",
    "why": "asks for a reason or a cause",
    "reversed": "names what another pair answers, and asks for what that pair named",
    "paraphrased": "asks again what another pair asks, in other words",
    "combined": "needs two facts of the text",
    "yes_no": "is answered by yes or no and the fact itself",
    "cloze": "is a sentence of the text to complete; the answer is the whole sentence",
}
OTHER = "question"


class Pair(NamedTuple):
    """A question and its answer as they were read; `kind` is one of `KINDS`, or `OTHER` where none was told."""

    question: str
    answer: str
    kind: str


# A worked example, as a turn before the real one. Small models copy from it: every pair holds a word by which a copy
# is known.
_EXAMPLE = (
    "The sundial of Brindlewick was built in 1583. Ada Thornquist repaired it, because a hailstorm had broken it. "
    "A visit costs 17 florins."
)
_EXAMPLE_PAIRS = (
    ("what", "What was built in Brindlewick in 1583?", "The sundial."),
    ("who", "Who repaired the sundial of Brindlewick?", "Ada Thornquist."),
    ("when", "When was the sundial of Brindlewick built?", "In 1583."),
    ("how_many", "How many florins does a visit to the sundial of Brindlewick cost?", "17 florins."),
    ("why", "Why was the sundial of Brindlewick repaired?", "A hailstorm had broken it."),
    ("reversed", "What did Ada Thornquist repair?", "The sundial of Brindlewick."),
    ("paraphrased", "By whom was Brindlewick's sundial mended?", "By Ada Thornquist."),
    ("combined", "Who repaired what was built in Brindlewick in 1583?", "Ada Thornquist repaired the sundial."),
    ("yes_no", "Is a visit to the sundial of Brindlewick free?", "No, a visit costs 17 florins."),
    ("cloze", "Complete the sentence: The sundial of Brindlewick was ...", "It was built in 1583."),
)
_EXAMPLE_WORDS = frozenset({"sundial", "brindlewick", "1583", "thornquist", "hailstorm", "florins"})


def messages(text: str, count: int) -> list[dict[str, str]]:
    """Asks for `count` pairs about `text`. No system message: some chat templates refuse it."""
    lines = [json.dumps({"kind": k, "question": q, "answer": a}) for k, q, a in _EXAMPLE_PAIRS]
    return [
        {"role": "user", "content": _prompt(_EXAMPLE, len(lines))},
        {"role": "assistant", "content": "\n".join(lines)},
        {"role": "user", "content": _prompt(text, count)},
    ]


def copied(pair: Pair, text: str) -> bool:
    """Whether a pair about `text` speaks of the worked example instead."""
    said = set(re.findall(r"\w+", f"{pair.question} {pair.answer}".lower()))
    return bool(said & _EXAMPLE_WORDS - set(re.findall(r"\w+", text.lower())))


def _prompt(text: str, count: int) -> str:
    kinds = "\n".join(f"- {kind}: {meaning}" for kind, meaning in KINDS.items())
    return (
        f"<text>\n{text}\n</text>\n\n"
        f"Write {count} pairs of a question and its answer that together teach every fact of the text to a reader who "
        "never sees the text.\n"
        "Every question names what it is about, so that it can be understood alone: never write "
        '"the text", "the document", "he" or "it" for it. '
        "Every answer is short, complete and says nothing that the text does not say.\n"
        f"Mix these kinds:\n{kinds}\n\n"
        'Write nothing but one JSON object a line, with the keys "kind", "question" and "answer".'
    )


def read(reply: str) -> list[Pair]:
    """Every pair in a reply, in order. Reasoning between `<think>` marks is no part of it."""
    # Lone surrogates can be said in JSON, and can be written to no file.
    said = reply.encode("utf-8", "ignore").decode("utf-8")
    said = re.sub(r"<think>.*?(</think>|\Z)", "", said, flags=re.DOTALL)
    return [pair for pair in _from_json(said) or _from_list(said) if _holds_words(pair)]


def _holds_words(pair: Pair) -> bool:
    return all(any(c.isalnum() for c in text) for text in (pair.question, pair.answer))


def _from_json(reply: str) -> list[Pair]:
    """From every JSON object with a question and an answer, wherever it stands: lines, a list, an object of them."""
    decoder = json.JSONDecoder(strict=False)  # a line break inside a string is forgiven
    pairs = []
    start = reply.find("{")
    while start >= 0:
        end = start + 1  # not JSON, or JSON around the pairs: look inside
        try:
            value, stop = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):
            pass
        else:
            if pair := _from_object(value):
                pairs.append(pair)
                end = stop
        start = reply.find("{", end)
    return pairs


def _from_object(fields: dict[str, Any]) -> Pair | None:
    lower = {str(key).strip().lower(): value for key, value in fields.items()}
    question = _as_text(lower.get("question", lower.get("q")))
    answer = _as_text(lower.get("answer", lower.get("a")))
    if question is None or answer is None:
        return None
    return Pair(question, answer, _kind(_as_text(lower.get("kind", lower.get("type"))) or ""))


def _as_text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list) and value and all(isinstance(part, str) for part in value):
        value = ", ".join(value)
    if not isinstance(value, str):
        return None
    return " ".join(value.encode("utf-8", "ignore").decode("utf-8").split())


def _kind(told: str) -> str:
    kind = re.sub(r"[\W_]+", "_", told.lower()).strip("_")
    kind = {"how_much": "how_many", "yes_or_no": "yes_no", "reverse": "reversed", "paraphrase": "paraphrased"}.get(
        kind, kind
    )
    return kind if kind in KINDS else OTHER


_ITEM = re.compile(r"^\s*(?:[-*•]\s+|\(?\d+\s*[.):](?!\d)\s*)?")  # a bullet or a number, and no time or price
_KIND = re.compile(r"^[\[(]([\w /-]{2,20})[\])]\s*:?\s*")  # [who], (yes/no)
_QUESTION = re.compile(r"^(?:question|q)\s*\d*\s*[.:)-]\s*", re.IGNORECASE)
_ANSWER = re.compile(r"^(?:(?:answer\s*\d*|a\s*\d+)\s*[.:)-]|a\s*[:)])\s*", re.IGNORECASE)  # no initial, no "A-frame"
_ANSWER_INSIDE = re.compile(r"\s+(?:answer|a)\s*:\s*", re.IGNORECASE)


def _from_list(reply: str) -> list[Pair]:
    """From lines such as `1. Who …? Answer: …`, `Q: …` and then `A: …`, or a question and its answer below it."""
    pairs = []
    waiting: tuple[str, str] | None = None  # a question that has no answer yet, and its kind
    for line in _plain_lines(reply):
        kind = OTHER
        if told := _KIND.match(line):
            kind, line = _kind(told[1]), line[told.end() :]
        labelled = _QUESTION.match(line)
        line = line[labelled.end() :] if labelled else line
        if waiting and not labelled and (answered := _ANSWER.match(line)):
            pairs.append(Pair(waiting[0], line[answered.end() :], waiting[1]))
            waiting = None
            continue
        question, answer = _split(line)
        if labelled or question.endswith("?"):
            waiting = (question, kind)
            if answer:
                pairs.append(Pair(question, answer, kind))
                waiting = None
        elif waiting:
            pairs.append(Pair(waiting[0], line, waiting[1]))
            waiting = None
    return pairs


def _split(line: str) -> tuple[str, str]:
    """The question on a line and the answer behind it, if there is one."""
    if inside := _ANSWER_INSIDE.search(line):
        return line[: inside.start()], line[inside.end() :]
    question, mark, answer = line.partition("?")
    return (question + mark, answer.strip(" \t-–—:|→>")) if mark else (line, "")


def _plain_lines(reply: str) -> Iterator[str]:
    """The lines without bullets, numbers and bold marks; no headings, no fences and no debris of JSON."""
    for line in reply.splitlines():
        plain = _ITEM.sub("", line.replace("**", ""), count=1).strip()
        if plain and not plain.startswith(("```", "#", "{", "}", "[{", "]", '"')):
            yield plain
