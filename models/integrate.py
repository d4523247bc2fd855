"""Integration: the student, without the context, is trained to answer as the teacher does with it.

Minimises mean_t KL(P_theta(s_t | x, s_<t) || P_theta'(s_t | s_<t)) over the answer tokens of the target
sentences, plus the same KL on unrelated text and on replayed sentences of earlier batches. The teacher is
not run here: its states come with the sentences (`models.teacher`).

Axes: B rows, L tokens of a row, N positions that carry loss, D width, V vocabulary.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from models import curvature, lora
from models.configs import IntegrateConfig
from models.course import NEW, Course
from models.curvature import Roots
from models.kl import kl_from_states
from models.masters import MasterWeights, StepLog
from models.model import LanguageModel
from models.packed_model import PackedModel
from models.rollouts import Rollouts
from models.teacher import TargetSentence

log = logging.getLogger("selfparam")

GROUPS = (NEW, "unrelated", "replay", "locality")
COMPILES = "2.13"  # the oldest torch known to compile our operations with their gradients
RECENT = 8  # steps over which the KL on unrelated text is averaged


def integrate(
    student: LanguageModel,
    teacher_matrix_VD: Tensor,
    sentences: dict[str, Sequence[TargetSentence]],
    config: IntegrateConfig,
    *,
    seed: int,
    rollouts: Rollouts | None = None,
    checkpoint: Path | None = None,
    on_step: Callable[[StepLog], None] | None = None,
) -> list[StepLog]:
    """Train `student` in place and return a row a step.

    Args:
        student: its weights change. It is in float32 afterwards: what was learnt is rounded once, when it is stored.
        teacher_matrix_VD: output matrix of the model that made the sentences' states.
        sentences: target sentences by group: "new" (at least one), "unrelated", "replay", "locality".
        rollouts: rewrites a share of the new sentences for each pass after the first (`models.rollouts`).
        checkpoint: file to go on from where a killed run stood, written every `checkpoint_seconds`.

    Same seed, sentences and machine give the same weights bit for bit, killed in between or not.
    """
    if not sentences[NEW]:
        raise ValueError("nothing to integrate: there are no target sentences (synthesis wrote none)")
    if config.compiled and torch.__version__ < COMPILES:
        raise ValueError(
            f"integrate.compiled: torch {torch.__version__} loses gradients where it compiles (2.11 does, measured); "
            f"install torch {COMPILES} or newer, or leave it false"
        )
    beside = {
        group: getattr(config, f"{group}_batch") if getattr(config, f"{group}_weight") else 0  # it would change nothing
        for group in GROUPS
        if group != NEW
    }
    course = Course({group: len(sentences.get(group, ())) for group in GROUPS}, beside, config, seed)
    held_out = [(NEW, sentences[NEW][i]) for i in course.held_out]
    torch.manual_seed(seed)
    model = student.model.eval().requires_grad_(True)  # no dropout: the teacher, and the kept states, know none
    still = left_alone(student, config)
    adapted = None
    if config.method == "lora":
        leave = [model.get_output_embeddings(), *still.modules()]
        adapted = lora.adapt(model, rank=config.lora_rank, alpha=config.lora_alpha, leave=leave)
    else:
        tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]  # of positions, too
        for module in (still, *([] if config.embeddings else [*tables, model.get_output_embeddings()])):
            module.requires_grad_(False)
    embeddings_learn = config.method == "full" and config.embeddings
    packed = PackedModel(
        student,
        row_tokens=config.row_tokens,
        below=() if embeddings_learn else list(still),
        at_once=config.tokens_at_once,
    )
    packed.keep([*sentences[NEW], *(sentences[group][i] for group in beside for i in course.seen(group))])
    weights = MasterWeights(
        [p for p in model.parameters() if p.requires_grad],
        config,
        _roots(packed, sentences.get("unrelated", ()), config, seed),  # not kept twice: they are large
    )
    # all but the first that learns, whose input wants no gradient: it would be compiled by itself
    fused = [layer for layer in student.layers if layer not in still][1:] if config.compiled else []
    for layer in fused:
        layer.compile(dynamic=True)
    rows: list[StepLog] = []
    own: dict[int, TargetSentence] = {}  # what the student wrote for this pass
    if checkpoint and checkpoint.exists():
        rows, written = weights.restore(checkpoint)
        own = {
            i: replace(sentences[NEW][i], answer=tuple(answer), states_TD=states_TD, written=0.0)
            for i, answer, states_TD in written
        }
        log.info("integrate: going on after step %d", len(rows))
    saved_at = time.monotonic()
    while step := course.step(len(rows), [row["kl_held_out"] for row in rows if "kl_held_out" in row]):
        started = time.monotonic()
        if rollouts and step.begins and rows:
            own = rollouts.rewritten(student, sentences[NEW], step.begins, seed=seed + len(rows))
        batch = [
            (g, own.get(i, sentences[g][i]) if g == NEW else sentences[g][i]) for g in GROUPS for i in step.batch[g]
        ]
        weight_of = weights_of_groups(rows, config, replays=bool(step.batch["replay"]))
        loss, kl_by_group, tokens = _loss(packed, teacher_matrix_VD, batch, weight_of)
        rate = config.peak_rate * step.rate
        norm = weights.step(rate)
        row: StepLog = {"step": len(rows) + 1, "loss": loss}
        row |= {f"kl_{g}": kl for g, kl in kl_by_group.items()}
        row |= {"learning_rate": rate, "gradient_norm": norm}
        row |= {"tokens_per_second": tokens / (time.monotonic() - started)}
        if step.is_measured:
            with torch.no_grad():
                row["kl_held_out"] = _loss(packed, teacher_matrix_VD, held_out, {NEW: 1.0})[1][NEW]
        if not (math.isfinite(row["loss"]) and math.isfinite(norm)):
            raise ValueError(
                f"the loss or its gradient is not finite at step {row['step']}: lower integrate.learning_rate "
                f"({rate:g})"
            )
        rows.append(row)
        if on_step:
            on_step(row | {"steps": step.steps})
        if checkpoint and time.monotonic() - saved_at > config.checkpoint_seconds:
            weights.save(checkpoint, rows, [(i, list(s.answer), s.states_TD) for i, s in own.items()])
            saved_at = time.monotonic()
    for layer in fused:
        layer._compiled_call_impl = None
    model.float()
    weights.publish()
    if adapted:
        adapted.merge_and_unload()
    return rows


def left_alone(student: LanguageModel, config: IntegrateConfig) -> nn.ModuleList:
    """The lowest layers, which do not learn: nothing is propagated back into them."""
    layers = student.layers
    return layers[: min(len(layers) - 1, round((1 - config.layers) * len(layers)))]


def _roots(
    student: PackedModel, unrelated: Sequence[TargetSentence], config: IntegrateConfig, seed: int
) -> dict[Tensor, Roots]:
    """The coordinates in which each parameter learns (`models.curvature`); none without unrelated text."""
    if not unrelated or not config.curvature_tokens:
        return {}
    layers = [
        layer
        for layer in student.lm.model.base_model.modules()  # of the output matrix no curvature is measured
        if isinstance(layer, lora.OneOperationLinear)
        or (config.method == "full" and type(layer) is nn.Linear and layer.weight.requires_grad)
    ]
    if not layers:
        return {}
    found = curvature.roots(student, unrelated, layers, seed=seed, tokens=config.curvature_tokens)
    by_parameter: dict[Tensor, Roots] = {}
    for layer, root in found.items():
        if isinstance(layer, lora.OneOperationLinear):
            by_parameter |= layer.begin_in(root)
        else:
            by_parameter[layer.get_parameter("weight")] = root
    return by_parameter


def weights_of_groups(rows: Sequence[StepLog], config: IntegrateConfig, *, replays: bool) -> dict[str, float]:
    """What each group counts in the next step, by what was logged so far and whether earlier lessons are in it.

    Unrelated text counts the more the further the student has moved on it (an adaptive KL penalty, Schulman et al.
    2017): a stream of rounds then drifts to a limit and not ever further.
    """
    weights = {group: getattr(config, f"{group}_weight") for group in GROUPS}
    if not replays:
        weights[NEW] = 1.0
    lately = [row["kl_unrelated"] for row in rows[-RECENT:] if "kl_unrelated" in row]
    if lately:
        weights["unrelated"] *= max(1.0, sum(lately) / len(lately) / config.unrelated_limit) ** 2
    return weights


def _loss(
    student: PackedModel,
    teacher_matrix_VD: Tensor,
    batch: Sequence[tuple[str, TargetSentence]],
    weights: Mapping[str, float],
) -> tuple[float, dict[str, float], int]:
    """The step's loss, the mean KL of each group (nats per token) and the number of target tokens.

    Where gradients are wanted, they are added to those of the parameters: a portion of the sentences goes forward and
    backward before the next does, so that what a step holds does not grow with its size (`PackedModel.portions`).
    """
    device, dtype = student.lm.device, student.lm.model.dtype
    group_N = torch.tensor([GROUPS.index(g) for g, s in batch for _ in s.answer])
    weight_N = torch.zeros(len(group_N))
    for group, weight in weights.items():
        mine_N = group_N == GROUPS.index(group)
        weight_N[mine_N] = weight / mine_N.sum()  # each group's mean over its tokens
    kl_N = torch.empty(len(group_N))
    loss, at = 0.0, 0
    for portion in student.portions([s for _, s in batch]):
        tokens = [t for s in portion for t in s.answer]
        mine = slice(at, at + len(tokens))
        at = mine.stop
        total, kl_N[mine] = kl_from_states(
            student.hidden_ND(portion),
            student.lm.output_matrix_VD,
            torch.cat([s.states_TD for s in portion]).to(device, dtype),
            teacher_matrix_VD,
            token_N=torch.tensor(tokens, device=device),
            written_N=torch.tensor([s.written for s in portion for _ in s.answer], device=device),
            weight_N=weight_N[mine].to(device),
        )
        if torch.is_grad_enabled():
            total.backward()
        loss += total.item()
    kl_by_group = {g: kl_N[group_N == i].mean().item() for i, g in enumerate(GROUPS) if (group_N == i).any()}
    return loss, kl_by_group, len(group_N)
