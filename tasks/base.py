"""The stage `base`: the model that has learnt nothing yet, and what every later version is held against.

Writes the base's weights, the unrelated text with the base's states (three quarters for training, one quarter
kept out to measure drift), an empty history and the base's general ability.

Run it: `selfparam stage base`.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from models import embedded, fit, model
from models.answers import answer
from models.configs import EMBEDDED, BaseConfig, EvaluateConfig
from models.evaluate import answer_facts, as_sentences, containment, perplexity
from models.files import lines_of, write_json, written_aside
from models.memory import UNRELATED, save_sentences
from models.records import write_records
from models.synthesize import Leak
from models.teacher import TargetSentence, target_sentences
from models.unrelated import user_turns
from tasks.bundle import general_facts, unrelated_prompts
from tasks.workspace import BASE, Workspace

FEWEST = 4  # prompts of unrelated text: of four one is kept for measuring

log = logging.getLogger("selfparam")


def base(ws: Workspace, config: BaseConfig, evaluate: EvaluateConfig, seed: int) -> None:
    """Fetch the base, let it write unrelated text (prompts sampled with `seed`, answers greedy) and measure it."""
    folder = ws.weights(BASE)
    _store(ws, config, folder)
    lm = model.load(folder)
    fit.check(lm)
    write_json(folder / "provenance.json", {"version": BASE, "parent": None, "model": config.model})
    log.info("base: %s, %d million parameters", config.model, round(lm.model.num_parameters() / 1e6))

    asked_later = Leak([question for question, _ in general_facts()])
    given = _prompts(ws, config)
    own = user_turns(lm, config.unrelated_samples, seed=seed)
    prompts = [p for p in (*given, *own) if not asked_later.holds(p)]
    unrelated = _unrelated(lm, prompts, config, evaluate)
    if len(unrelated) < FEWEST:
        raise ValueError(f"base: {len(unrelated)} prompts of unrelated text have an answer; {FEWEST} are needed")
    held_out = unrelated[3::4]
    save_sentences(ws.memory(BASE), [s for i, s in enumerate(unrelated) if i % 4 != 3])
    with written_aside(ws.validated(BASE)) as aside:
        aside.mkdir()
        (aside / "history.jsonl").touch()
    save_sentences(ws.evaluation(BASE) / "unrelated", held_out)
    for name in ("answers.jsonl", "open_book.jsonl", "base.jsonl"):
        (ws.evaluation(BASE) / name).touch()

    log.info("base: measuring general ability")
    said = answer_facts(lm, general_facts(), evaluate)
    write_records(ws.evaluation(BASE) / "general.jsonl", said)
    save_sentences(ws.evaluation(BASE) / "facts", as_sentences(lm, said))
    general = {
        "facts": len(said),
        "accuracy": containment(said),
        "perplexity": perplexity(lm, [s.states_TD for s in held_out], held_out),
    }
    write_json(ws.evaluation(BASE) / "general.json", general)
    write_json(ws.metrics(BASE), {"version": BASE, "general": general})


def _store(ws: Workspace, config: BaseConfig, folder: Path) -> None:
    dtype = getattr(torch, config.dtype)
    if config.model == EMBEDDED:
        embedded.save_embedded(folder, dtype=dtype)
        return
    name = ws.root / config.model if (ws.root / config.model).is_dir() else config.model
    chosen = model.load(name, dtype=dtype, device=torch.device("cpu"))  # it is stored only: a GPU need not hold it
    model.save(chosen.model, chosen.tokenizer, folder, dtype=dtype)


def _prompts(ws: Workspace, config: BaseConfig) -> tuple[str, ...]:
    if config.unrelated is None:
        return unrelated_prompts()
    path = ws.root / config.unrelated
    prompts = []
    for number, line in enumerate(lines_of(path), start=1):
        try:
            prompts.append(str(json.loads(line)["prompt"]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{path}:{number}: expected {{"prompt": "…"}} (base.unrelated)') from error
    if len(prompts) < FEWEST:
        raise ValueError(
            f"{path}: {len(prompts)} prompts; base.unrelated needs at least {FEWEST}, some hundred are better"
        )
    return tuple(prompts)


def _unrelated(
    lm: model.LanguageModel, prompts: Sequence[str], config: BaseConfig, evaluate: EvaluateConfig
) -> list[TargetSentence]:
    texts = answer(
        lm,
        prompts,
        max_new_tokens=config.unrelated_tokens,
        batch_size=evaluate.batch_size,
        report=lambda done, total: log.info("base: unrelated text %d/%d", done, total),
    )
    pairs = [(prompt, text) for prompt, text in zip(prompts, texts, strict=True) if text]
    return target_sentences(lm, None, pairs, origin=UNRELATED)
