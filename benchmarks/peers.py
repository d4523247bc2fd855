"""Times one training of the same pairs by our loop and by the loops that others would write or take.

    python -m benchmarks.peers contexts.jsonl --records 8 --model folder-of-a-model
    python -m benchmarks.peers sample/day-1.jsonl --model folder-of-a-model --epochs 8 --evaluate-every 5

The afternoon's loop runs the teacher live in every step, makes all logits of both models, pads, and leaves the rest to
transformers and AdamW. TRL's loops (`benchmarks.trl_peers`) join where TRL is installed. All start from the same model
and learn the same pairs in as many epochs of as large batches, in the number format that is faster here (autocast for
the peers). Ours runs twice: as by default, and with all layers' own weights and the published objective, as the peers
do. It runs the teacher once before; that time counts. No loop sees unrelated text or replays. Each runs in a process of
its own, so that peak memory is its own.

Probes are asked with the clock stopped, after training and every so many steps: the finer, the truer are the
times to shares of the open book. What asking needs counts in the peak memory, unless it is done at the end alone.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from benchmarks import trl_peers
from benchmarks.lessons import Pair, pairs_of, probes_of, taught
from benchmarks.machine import described, parser
from benchmarks.watch import FIGURES, Figures, Watch, containment, reached
from models import model
from models.configs import IntegrateConfig
from models.contexts import answer_ids, prompt_ids
from models.course import NEW, Course
from models.integrate import integrate
from models.records import Experience, read_records

SHARES = (0.6, 0.9)  # of the open book's containment
COLUMNS = ("loop", *FIGURES, *(f"seconds to {share:.0%} of the open book" for share in SHARES))


def main() -> None:
    """Run all loops, each in its own process, and print a table in Markdown."""
    options = parser("benchmarks.peers", __doc__)
    options.add_argument("file", type=Path, help="experience file; without `qa`, sentences are asked about by grammar")
    options.add_argument("--records", type=int, default=8, help="of the file, the first so many")
    options.add_argument("--model", required=True, help="folder or hub name of a causal language model")
    options.add_argument("--epochs", type=int, default=2, help="passes over the pairs")
    options.add_argument("--batch-size", type=int, default=16, help="pairs a step")
    options.add_argument("--learning-rate", type=float, default=1e-4, help="of the loops on all weights but TRL's")
    options.add_argument("--trl-learning-rate", type=float, default=1e-4, help="of TRL's loops")
    options.add_argument("--evaluate-every", type=int, default=0, help="steps between askings; 0: at the end alone")
    options.add_argument("--seed", type=int, default=0, help="of the order of the pairs")
    options.add_argument("--only", choices=LOOPS, help="run this loop alone and print its figures as JSON")
    arguments = options.parse_args()
    experiences = read_records(arguments.file, Experience)[: arguments.records]
    if arguments.only:
        config = IntegrateConfig(
            method="full",
            layers=1,
            learning_rate=arguments.trl_learning_rate if arguments.only in trl_peers.LOOPS else arguments.learning_rate,
            epochs=arguments.epochs,
            least_steps=0,
            batch_size=arguments.batch_size,
        )
        watch = Watch(probes_of(experiences), every=arguments.evaluate_every)
        loop = LOOPS[arguments.only]
        print(json.dumps(loop(arguments.model, pairs_of(experiences), config, arguments.seed, watch)))
        return
    print(described(arguments, *(["trl"] if TRL else [])))
    print(f"{len(experiences)} records, {len(pairs_of(experiences))} pairs")
    if not TRL:
        print("TRL's loops are left out; they need: pip install -c constraints.txt -e '.[bench]'")
    table(arguments.model, experiences)


def table(name: str, experiences: Sequence[Experience]) -> None:
    """Print what the base knows with and without the contexts, then a row for each loop."""
    base = model.load(name)
    before, opened = (containment(base, probes_of(experiences, open_book=book)) for book in (False, True))
    del base  # the loops need the memory
    count = len(probes_of(experiences))
    print(
        f"contained in the base's answers to {count} probes: open book {_cell(opened)}, closed book {_cell(before)}\n"
    )
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for loop in LOOPS:
        command = [sys.executable, "-m", "benchmarks.peers", *sys.argv[1:], "--only", loop]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{loop}: {done.stderr}")
        found = json.loads(done.stdout.splitlines()[-1])
        cells = [_cell(found[c]) for c in FIGURES]
        for share in SHARES:
            seconds = reached(found["curve"], share * opened) if opened else None
            cells.append("not reached" if seconds is None else _cell(seconds))
        print(f"| {loop} | {' | '.join(cells)} |", flush=True)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def ours(name: str, pairs: Sequence[Pair], config: IntegrateConfig, seed: int, watch: Watch) -> Figures:
    """As by default: LoRA in the upper layers at its own learning rate, evidence, a share of the written token."""
    default = IntegrateConfig(epochs=config.epochs, least_steps=0, batch_size=config.batch_size)
    return _integrated(name, pairs, default, seed, watch, evidence=True, written=default.written_share_given)


def all_weights(name: str, pairs: Sequence[Pair], config: IntegrateConfig, seed: int, watch: Watch) -> Figures:
    """What the afternoon's loop does, and the published objective: all layers' own weights."""
    return _integrated(name, pairs, config, seed, watch)


def _integrated(
    name: str,
    pairs: Sequence[Pair],
    config: IntegrateConfig,
    seed: int,
    watch: Watch,
    *,
    evidence: bool = False,
    written: float = 0.0,
) -> Figures:
    """Teacher states once, then packed rows, loss positions only, fused AdamW on float32 masters."""
    teacher, student = model.load(name), model.load(name)
    clock = watch.start()
    sentences = taught(teacher, pairs, evidence=evidence, written=written)
    seconds = clock.seconds
    rows = integrate(
        student,
        teacher.output_matrix_VD.detach(),
        {NEW: sentences},
        config,
        seed=seed,
        on_step=lambda row: watch.after(int(row["step"]), student),
    )
    student.model.to(teacher.model.dtype)  # type: ignore[arg-type]  # its decorator hides what it takes
    tokens = config.epochs * sum(len(s.answer) for s in sentences)
    return watch.figures(student, tokens=tokens, taught=seconds, kl=rows[-1]["kl_new"])


def afternoon(name: str, pairs: Sequence[Pair], config: IntegrateConfig, seed: int, watch: Watch) -> Figures:
    """Live teacher, full logits, padding, default attention, plain AdamW under autocast."""
    lm, frozen = model.load(name, dtype=torch.float32), model.load(name, dtype=torch.float32)
    for loaded in (lm, frozen):
        loaded.model.set_attn_implementation("sdpa")
    student, teacher = lm.model.train(), frozen.model
    optimizer = torch.optim.AdamW(student.parameters(), lr=config.peak_rate)
    pad, fast = lm.tokenizer.pad_token_id, model.fast_dtype(lm.device)
    watch.start()
    tokens, last = 0, 0.0
    course = Course({NEW: len(pairs)}, {}, config, seed)
    number = 0
    while step := course.step(number, ()):
        number += 1
        batch = [pairs[i] for i in step.batch[NEW]]
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
        watch.after(number, lm)
    return watch.figures(lm, tokens=tokens, taught=0.0, kl=last)


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


TRL = find_spec("trl") is not None
LOOPS = {
    "the afternoon's": afternoon,
    "ours": ours,
    "ours, all weights": all_weights,
    **(trl_peers.LOOPS if TRL else {}),
}

if __name__ == "__main__":
    main()
