"""Times one training of the same pairs by our loop and by the loop one would write in an afternoon.

    python -m benchmarks.peers contexts.jsonl --records 8 --model folder-of-a-model

The afternoon's loop runs the teacher live in every step, makes all logits of both models, pads, and leaves the rest to
transformers and AdamW. Both train all weights on the same pairs in the same order with the same batches, in the number
format that is faster here (autocast for the peer). Ours runs the teacher once before; that time counts. Each runs in a
process of its own, so that peak memory is its own.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from flows import quiet  # noqa: F401 - silences what would phone out
from models import forms, model
from models.contexts import answer_ids, prompt_ids
from models.integrate import IntegrateConfig, integrate, plan
from models.records import Experience, read_records
from models.synthesize import distinct, given
from models.teacher import target_sentences

Pair = tuple[str, str, str]  # context, question, answer

COLUMNS = ("loop", "target tokens", "seconds", "of which teacher", "tokens/s", "peak memory (GB)", "KL at the end")


def main() -> None:
    """Run both loops, each in its own process, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="experience file; without `qa`, sentences are asked about by grammar")
    parser.add_argument("--records", type=int, default=8)
    parser.add_argument("--model", required=True, help="folder or hub name of a causal language model")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=LOOPS, help="run this loop alone and print its figures as JSON")
    arguments = parser.parse_args()
    if arguments.only:
        config = IntegrateConfig(
            method="full", learning_rate=1e-4, epochs=arguments.epochs, batch_size=arguments.batch_size
        )
        pairs = pairs_of(arguments.file, arguments.records)
        print(json.dumps(LOOPS[arguments.only](arguments.model, pairs, config, arguments.seed)))
        return
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("selfparam", "torch", "transformers"))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {versions}")
    print(f"{arguments.records} records, {arguments.epochs} epochs, seed {arguments.seed}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for loop in LOOPS:
        command = [sys.executable, "-m", "benchmarks.peers", *sys.argv[1:], "--only", loop]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        cells = [f"{found[c]:.2f}" if isinstance(found[c], float) else str(found[c]) for c in COLUMNS[1:]]
        print(f"| {loop} | {' | '.join(cells)} |", flush=True)


def pairs_of(file: Path, records: int) -> list[Pair]:
    """What both loops learn: the pairs of the records, or questions made of their sentences."""
    pairs = []
    for experience in read_records(file, Experience)[:records]:
        own = [(p.question, p.answer) for p in distinct(given(experience))]
        facts = forms.sentences(experience)
        own = own or [(w.question, w.answer) for w in (*forms.plain(facts), *forms.echoes(facts, 2))]
        pairs += [(experience.text, *pair) for pair in own]
    return pairs


def ours(name: str, pairs: Sequence[Pair], config: IntegrateConfig, seed: int) -> dict[str, float]:
    """Teacher states once, then packed rows, loss positions only, fused AdamW on float32 masters."""
    teacher, student = model.load(name), model.load(name)
    started = time.monotonic()
    sentences = []
    for context in dict.fromkeys(p[0] for p in pairs):
        sentences += target_sentences(teacher, context, [p[1:] for p in pairs if p[0] == context], origin="new")
    taught = time.monotonic() - started
    rows = integrate(student, teacher.output_matrix_VD.detach(), {"new": sentences}, config, seed=seed)
    tokens = config.epochs * sum(len(s.answer) for s in sentences)
    return _figures(tokens, started, taught, rows[-1]["kl_new"])


def afternoon(name: str, pairs: Sequence[Pair], config: IntegrateConfig, seed: int) -> dict[str, float]:
    """Live teacher, full logits, padding, default attention, plain AdamW under autocast."""
    lm, frozen = model.load(name, dtype=torch.float32), model.load(name, dtype=torch.float32)
    for loaded in (lm, frozen):
        loaded.model.set_attn_implementation("sdpa")
    student, teacher = lm.model.train(), frozen.model
    optimizer = torch.optim.AdamW(student.parameters(), lr=config.learning_rate)
    pad, fast = lm.tokenizer.pad_token_id, model.fast_dtype(lm.device)
    started = time.monotonic()
    tokens, last = 0, 0.0
    for step in plan({"new": len(pairs), "unrelated": 0, "replay": 0}, config, seed):
        batch = [pairs[i] for i in step["new"]]
        answers = [answer_ids(lm.tokenizer, a) for _, _, a in batch]
        with torch.autocast(lm.device.type, fast, enabled=fast != torch.float32):
            with torch.no_grad():
                open_book = [prompt_ids(lm.tokenizer, q, c) for c, q, _ in batch]
                teacher_NV = _answer_logits(teacher, open_book, answers, pad)
            student_NV = _answer_logits(student, [prompt_ids(lm.tokenizer, q) for _, q, _ in batch], answers, pad)
        logq_NV, logp_NV = log_softmax(teacher_NV.float(), -1), log_softmax(student_NV.float(), -1)
        loss = (logq_NV.exp() * (logq_NV - logp_NV)).sum(-1).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), config.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        tokens += len(logq_NV)
        last = loss.item()
    return _figures(tokens, started, 0.0, last)


def _answer_logits(
    network: model.PreTrainedModel, prompts: list[list[int]], answers: list[list[int]], pad: int
) -> Tensor:
    whole = [p + a for p, a in zip(prompts, answers, strict=True)]
    ids_BL = torch.full((len(whole), max(map(len, whole))), pad)
    seen_BL = torch.zeros_like(ids_BL)
    for row, ids in enumerate(whole):
        ids_BL[row, : len(ids)], seen_BL[row, : len(ids)] = torch.tensor(ids), 1
    logits_BLV = network(input_ids=ids_BL.to(network.device), attention_mask=seen_BL.to(network.device)).logits
    return torch.cat([logits_BLV[b, len(p) - 1 : len(p) + len(answers[b]) - 1] for b, p in enumerate(prompts)])


def _figures(tokens: int, started: float, taught: float, kl: float) -> dict[str, float]:
    seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kilobytes on Linux
    return dict(zip(COLUMNS[1:], (tokens, seconds, taught, tokens / seconds, memory, kl), strict=True))


LOOPS = {"the afternoon's": afternoon, "ours": ours}

if __name__ == "__main__":
    main()
