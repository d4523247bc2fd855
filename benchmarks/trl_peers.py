"""Peers of Hugging Face TRL 1.16.0 (extra `bench`): self-distillation by `trl.experimental.sdft`.

SDFT (Shenfeld et al. 2026) has the same teacher as we have, the base with the context in its prompt, but other texts:
in every step the student writes an answer to each question (or, with `generate_from_teacher`, the student's weights
with the teacher's prompt do), and teacher and student are compared on what was written. The pairs' own answers are not
used, target tokens are those written, and KL at the end is that on the last step's writings: of the columns, time,
memory and containment compare with the other loops, KL does not.

Settings are the documentation's but where they would make the comparison another one: KL(teacher || student) over the
whole vocabulary (`full_logits`, alpha 0, temperature 1) in place of JSD over the student's top 100 tokens; one
generation a question in place of eight; no gradient checkpointing, which saves memory that is not short here and costs
a fifth of the time; prompts not cut at 512 tokens; the context before the question, as our teacher reads it. Pairs that
fill no batch are left out of an epoch, others each time: its sampler does so.

Left out, because teacher and student share one prompt there and no context can be given to the teacher alone:
`trl.DistillationTrainer` (on-policy too) and its server, asynchronous and importance-weighted variants; GKD and GOLD,
the two that can learn off-policy, from written answers. SDPO distils from a prompt of its own too, but one that is made
of rewarded attempts.
"""

import tempfile
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.lessons import Pair
from benchmarks.watch import Figures, Watch
from models import model
from models.configs import IntegrateConfig
from models.contexts import prompt_text
from models.model import LanguageModel

COMPLETION_TOKENS = 40  # longest text that is written to a question: a sentence or two


def on_policy(name: str, pairs: Sequence[Pair], config: IntegrateConfig, seed: int, watch: Watch) -> Figures:
    """SDFT as published: the student writes."""
    return _sdft(name, pairs, config, seed, watch, generate_from_teacher=False)


def from_teacher(name: str, pairs: Sequence[Pair], config: IntegrateConfig, seed: int, watch: Watch) -> Figures:
    """SDFT where the texts are written with the context in the prompt."""
    return _sdft(name, pairs, config, seed, watch, generate_from_teacher=True)


def _sdft(
    name: str,
    pairs: Sequence[Pair],
    config: IntegrateConfig,
    seed: int,
    watch: Watch,
    *,
    generate_from_teacher: bool,
) -> Figures:
    # Not at the top: what these import would count in the peak memory of the loops that do without.
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl.experimental.sdft import SDFTTrainer

    class AfterStep(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            watch.after(state.global_step, lm)

    lm = model.load(name, dtype=torch.float32)
    lm.model.set_attn_implementation("sdpa")
    batch = min(config.batch_size, len(pairs))  # no batch at all would be made of fewer pairs
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SDFTTrainer(
            model=lm.model,  # the teacher is loaded from where this was
            args=settings(config, seed, batch, scratch, lm, generate_from_teacher=generate_from_teacher),
            train_dataset=Dataset.from_list(rows_of(lm, pairs)),
            processing_class=lm.tokenizer,
            callbacks=[AfterStep()],
        )
        trainer.remove_callback(PrinterCallback)  # standard output is for our figures
        watch.start()
        trainer.train()
    logged = [row for row in trainer.state.log_history if "completions/mean_length" in row]
    tokens = round(batch * sum(row["completions/mean_length"] for row in logged))
    return watch.figures(lm, tokens=tokens, taught=0.0, kl=logged[-1]["self_distillation/distillation_loss"])


def settings(
    config: IntegrateConfig, seed: int, batch: int, scratch: str, lm: LanguageModel, *, generate_from_teacher: bool
) -> Any:
    """The SDFTConfig that does what `config` says, as far as TRL can."""
    from trl.experimental.sdft import SDFTConfig

    return SDFTConfig(
        generate_from_teacher=generate_from_teacher,
        teacher_model_kind="base",
        teacher_prompt_template="{privileged_context}\n\n{prompt}",
        distillation_mode="full_logits",
        distillation_alpha=0.0,  # KL(teacher || student)
        temperature=1.0,  # divides the logits in the loss too
        num_generations=1,
        max_prompt_length=None,
        max_completion_length=COMPLETION_TOKENS,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=batch,
        learning_rate=config.peak_rate,
        warmup_steps=config.warmup,  # a share, where below 1; linear decay follows
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip_norm,
        gradient_checkpointing=False,
        bf16=model.fast_dtype(lm.device) == torch.bfloat16,
        use_cpu=lm.device.type == "cpu",
        dataloader_pin_memory=lm.device.type != "cpu",
        seed=seed,
        output_dir=scratch,
        save_strategy="no",
        report_to="none",
        push_to_hub=False,
        logging_steps=1,  # target tokens are counted from the log
        disable_tqdm=True,
    )


def rows_of(lm: LanguageModel, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """The pairs as SDFT reads them: a prompt and what the teacher sees besides."""
    chat = lm.tokenizer.chat_template
    return [
        {
            "prompt": [{"role": "user", "content": question}] if chat else prompt_text(lm.tokenizer, question),
            "privileged_context": context,
        }
        for context, question, _ in pairs
    ]


LOOPS = {"TRL's SDFT": on_policy, "TRL's SDFT, teacher writes": from_teacher}
