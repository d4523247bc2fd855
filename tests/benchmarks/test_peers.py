import math
from pathlib import Path

import pytest

from benchmarks import peers, trl_peers
from benchmarks.lessons import pairs_of, probes_of
from benchmarks.watch import FIGURES, Watch
from models import model
from models.configs import IntegrateConfig
from models.contexts import prompt_ids
from models.metrics import normalise
from models.records import Experience, read_records

EXPERIENCES = read_records(Path(__file__).parents[2] / "sample" / "day-1.jsonl", Experience)[:2]
CONFIG = IntegrateConfig(method="full", learning_rate=1e-4, epochs=1, least_steps=0, batch_size=8)


def test_no_pair_asks_a_probe() -> None:
    pairs, probes = pairs_of(EXPERIENCES), probes_of(EXPERIENCES)
    assert {context for context, _, _ in pairs} == {e.text for e in EXPERIENCES}
    assert not {normalise(q) for _, q, _ in pairs} & {normalise(p.probe.question) for p in probes}


def test_the_open_book_is_the_records_own_context() -> None:
    opened = probes_of(EXPERIENCES, open_book=True)
    assert {q.context for q in opened} == {e.text for e in EXPERIENCES}
    assert {q.context for q in probes_of(EXPERIENCES)} == {None}


@pytest.mark.parametrize("loop", peers.LOOPS)
def test_every_loop_fills_its_row(loop: str, tiny_model: Path) -> None:
    watch = Watch(probes_of(EXPERIENCES)[:2], every=1)
    figures = peers.LOOPS[loop](str(tiny_model), pairs_of(EXPERIENCES)[:16], CONFIG, 0, watch)
    assert set(figures) == {*FIGURES, "curve"}
    assert len(figures["curve"]) == 3  # after each of two steps, and at the end
    assert figures["target tokens"] > 0
    assert math.isfinite(figures["KL at the end"])
    assert figures["KL at the end"] > 0


def test_trl_sees_the_prompts_that_we_see(tiny_model: Path, tmp_path: Path) -> None:
    sdft = pytest.importorskip("trl.experimental.sdft", reason="the extra `bench` is not installed")
    from datasets import Dataset

    lm, pairs = model.load(tiny_model), pairs_of(EXPERIENCES)[:3]
    rows = trl_peers.rows_of(lm, pairs)
    trainer = sdft.SDFTTrainer(
        model=lm.model,
        args=trl_peers.settings(CONFIG, 0, 2, str(tmp_path), lm, generate_from_teacher=False),
        train_dataset=Dataset.from_list(rows),
        processing_class=lm.tokenizer,
    )
    opened = trainer.teacher_context_builder.select_generation_prompts(
        [row["prompt"] for row in rows], [row["privileged_context"] for row in rows]
    )
    assert trainer._tokenize_prompts([row["prompt"] for row in rows]) == [prompt_ids(lm.tokenizer, p[1]) for p in pairs]
    assert trainer._tokenize_prompts(opened) == [prompt_ids(lm.tokenizer, p[1], p[0]) for p in pairs]
