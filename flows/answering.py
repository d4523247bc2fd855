"""Answers of one version to questions: what `selfparam ask` and `selfparam evaluate` call.

A version is `base`, `champion`, a number of the registry or a batch; its weights come from the registry's copy,
which no stage rewrites; those of the base, and of a batch that is not registered yet, from `data/weights`. Greedy, so
the same question has the same answer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from flows.settings import register_config, section
from models import answers, metrics, model
from models.configs import EvaluateConfig
from models.contexts import prompt_ids
from models.files import written_aside
from models.model import LanguageModel
from models.records import Experience
from tasks import intake, registry
from tasks.workspace import BASE, Workspace

BATCH_SIZE = 32
KINDS = ("open_book", "closed_book_base", "closed_book")


@dataclass(frozen=True)
class Examined:
    """One probe of an experience file, with three answers."""

    id: str
    question: str
    gold: tuple[str, ...]
    said: dict[str, str]  # by kind


def version(ws: Workspace, name: str) -> LanguageModel:
    """Load a version, in the number format that a stranger who loads it from the registry computes in."""
    config = register_config(ws)
    return model.load(registry.resolve(ws, config, name), dtype=getattr(torch, config.answer_dtype))


def ask(ws: Workspace, lm: LanguageModel, questions: Sequence[str], context: str | None = None) -> list[str]:
    """Answer questions, all with the same context in front of them where one is given, at the length at which a
    stranger has them answered who loads the version from the registry."""
    config = register_config(ws)
    return _answered(lm, questions, [context] * len(questions), config.max_new_tokens, BATCH_SIZE)


def _answered(
    lm: LanguageModel, questions: Sequence[str], contexts: Sequence[str | None], longest: int, batch_size: int
) -> list[str]:
    prompts = [prompt_ids(lm.tokenizer, q, c) for q, c in zip(questions, contexts, strict=True)]
    for question, context, prompt in zip(questions, contexts, prompts, strict=True):
        tokens = len(prompt) + longest
        if lm.window and tokens > lm.window:
            raise ValueError(
                f"{question[:60]!r}: with {'its text' if context else 'itself'} and its answer it has {tokens} tokens, "
                f"and the model's window holds {lm.window}. Shorten it."
            )
    return answers.generate(lm, prompts, max_new_tokens=longest, batch_size=batch_size)


def read_questions(path: Path) -> list[dict[str, Any]]:
    """A `{"id", "question"}` a line; the id may be of any kind. A wrong line is named by its number."""
    found = []
    for number, line in enumerate(intake.read_lines(path), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if not isinstance(entry["question"], str):
                raise TypeError("the question is no text")
            one = {"id": entry["id"], "question": entry["question"]}
            json.dumps(one, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
            found.append(one)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path}:{number}: not {{"id", "question"}}: {error}') from error
    return found


def write_answers(path: Path, asked: Sequence[dict[str, Any]], said: Sequence[str]) -> None:
    """A `{"id", "question", "answer"}` a line."""
    with written_aside(path.resolve()) as aside:
        lines = (json.dumps({**q, "answer": a}, ensure_ascii=False) for q, a in zip(asked, said, strict=True))
        aside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def examine(ws: Workspace, experiences: Sequence[Experience], name: str) -> list[Examined]:
    """Every probe of `experiences`: open book and closed book by the base, closed book by version `name`. With the
    settings, and in the number format, of the stage `evaluate`, so that figures can be compared with a round's."""
    probes = [(e, probe) for e in experiences for probe in e.probes]
    if not probes:
        raise ValueError("There are no probes in this file: questions with their answers are what is measured.")
    config = section(ws, "evaluate", EvaluateConfig)
    questions, closed = [probe.question for _, probe in probes], [None] * len(probes)

    def answered(lm: LanguageModel, contexts: Sequence[str | None]) -> list[str]:
        return _answered(lm, questions, contexts, config.max_new_tokens, config.batch_size)

    base = model.load(ws.weights(BASE))
    open_book = answered(base, [e.text for e, _ in probes])
    before = answered(base, closed)
    after = answered(model.load(registry.resolve(ws, register_config(ws), name)), closed) if name != BASE else before
    return [
        Examined(e.id, probe.question, probe.answers, dict(zip(KINDS, said, strict=True)))
        for (e, probe), *said in zip(probes, open_book, before, after, strict=True)
    ]


def totals(name: str, found: Sequence[Examined]) -> dict[str, Any]:
    """The shape that `selfparam evaluate --json` prints: means over the probes, and every answer."""
    return {
        "version": name,
        "probes": len(found),
        **{kind: _mean([_scores(e.said[kind], e.gold) for e in found]) for kind in KINDS},
        "answers": [
            {
                "id": e.id,
                "question": e.question,
                "answers": list(e.gold),
                **{kind: {"answer": e.said[kind], **_scores(e.said[kind], e.gold)} for kind in KINDS},
            }
            for e in found
        ],
    }


def _scores(said: str, gold: Sequence[str]) -> dict[str, float]:
    return {"f1": metrics.f1(said, gold), "exact": metrics.exact(said, gold), "contains": metrics.contains(said, gold)}


def _mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: sum(s[key] for s in scores) / len(scores) for key in scores[0]}
