"""Which parts of a model an integration changes, in which number format, and how it leaves the model behind."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from models.answers import answer
from models.integrate import COMPILES, integrate
from models.model import load
from models.rollouts import Rollouts
from models.teacher import target_sentences
from tests.models.conftest import CONFIG, CONTEXT, QUESTIONS, Opener, same


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_model_keeps_its_shape_and_is_left_ready_to_answer(
    fresh: Opener, groups: Any, matrix_VD: Tensor, method: str
) -> None:
    student = fresh()
    for config in (CONFIG.model_copy(update={"method": method}), CONFIG):  # the same model can learn again
        rows = integrate(student, matrix_VD, groups, config, seed=0)
        assert rows[-1]["kl_new"] < rows[0]["kl_new"]
    shapes = {n: (p.shape, p.dtype) for n, p in student.model.named_parameters()}
    assert shapes == {n: (p.shape, p.dtype) for n, p in fresh().model.named_parameters()}
    assert not student.model.training
    assert all(p.isfinite().all() for p in student.model.parameters())


def test_embeddings_can_be_left_as_they_are(fresh: Opener, groups: Any, matrix_VD: Tensor) -> None:
    student, base = fresh(), fresh()
    rows = integrate(student, matrix_VD, groups, CONFIG.model_copy(update={"embeddings": False}), seed=0)
    assert torch.equal(student.output_matrix_VD, base.output_matrix_VD)
    assert torch.equal(student.model.get_input_embeddings().weight, base.model.get_input_embeddings().weight)
    assert not same(student, base)
    assert rows[-1]["kl_new"] < rows[0]["kl_new"]


def test_embeddings_learn_where_they_are_to(fresh: Opener, groups: Any, matrix_VD: Tensor) -> None:
    student, base = fresh(), fresh()
    config = CONFIG.model_copy(update={"embeddings": True, "method": "full"})
    rows = integrate(student, matrix_VD, groups, config, seed=0)
    assert not torch.equal(student.output_matrix_VD, base.output_matrix_VD)
    assert not torch.equal(student.model.get_input_embeddings().weight, base.model.get_input_embeddings().weight)
    assert rows[-1]["kl_new"] < rows[0]["kl_new"]


@pytest.fixture
def noisy(tiny_model: Path, tmp_path: Path) -> Opener:
    """GPT-2, which has learnt positions, drops activations while it trains, and has no linear layers for LoRA."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    shape = {"n_embd": 32, "n_layer": 2, "n_head": 4, "resid_pdrop": 0.5, "embd_pdrop": 0.5, "initializer_range": 0.3}
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return lambda: load(tmp_path, dtype=torch.float32)


def test_a_model_that_drops_activations_learns_without(noisy: Opener, unrelated: Any) -> None:
    base = noisy()
    new = target_sentences(base, CONTEXT, [(question, "Mara") for question in QUESTIONS], origin="b")
    held = target_sentences(base, None, [(s.question, "Mara") for s in unrelated], origin="unrelated")
    config = CONFIG.model_copy(update={"epochs": 1})
    rows = integrate(noisy(), base.output_matrix_VD.detach(), {"new": new, "unrelated": held}, config, seed=0)
    assert rows[0]["kl_unrelated"] == pytest.approx(0, abs=1e-5)  # before the first step student and base are one


def test_learnt_positions_stay_as_they_are_like_other_embeddings(noisy: Opener) -> None:
    base, student = noisy(), noisy()
    new = target_sentences(base, CONTEXT, [(question, "Mara") for question in QUESTIONS], origin="b", experience="e")
    config = CONFIG.model_copy(update={"epochs": 2, "embeddings": False, "on_policy": 0.5, "layers": 0.5})
    rollouts = Rollouts(base, {"e": CONTEXT}, share=0.5, max_new_tokens=2)
    integrate(student, base.output_matrix_VD.detach(), {"new": new}, config, seed=0, rollouts=rollouts)
    assert torch.equal(student.model.transformer.wpe.weight, base.model.transformer.wpe.weight)
    assert not same(student, base)


@pytest.mark.parametrize(("share", "learning"), [(1.0, [True, True]), (0.5, [False, True]), (0.01, [False, True])])
def test_the_lowest_layers_can_be_left_as_they_are(
    fresh: Opener, groups: Any, matrix_VD: Tensor, share: float, learning: list[bool]
) -> None:
    student, before = fresh(), fresh()
    integrate(student, matrix_VD, groups, CONFIG.model_copy(update={"layers": share, "epochs": 1}), seed=0)
    moved = [
        not torch.equal(mine.mlp.up_proj.weight, theirs.mlp.up_proj.weight)
        for mine, theirs in zip(student.model.base_model.layers, before.model.base_model.layers, strict=True)
    ]
    assert moved == learning


@pytest.mark.parametrize(("method", "rate"), [("full", 1e-3), ("lora", 1e-2)])
def test_bfloat16_learns_and_repeats_itself(
    fresh: Opener, groups: Any, matrix_VD: Tensor, method: str, rate: float
) -> None:
    config = CONFIG.model_copy(update={"epochs": 15, "method": method, "learning_rate": rate})
    a, b = fresh(torch.bfloat16), fresh(torch.bfloat16)
    rows = integrate(a, matrix_VD.bfloat16(), groups, config, seed=0)
    integrate(b, matrix_VD.bfloat16(), groups, config, seed=0)
    assert {p.dtype for p in a.model.parameters()} == {torch.float32}
    moved = a.model.base_model.layers[1].mlp.up_proj.weight
    assert not torch.equal(moved, moved.bfloat16().float())  # not rounded before it is stored
    assert all(p.isfinite().all() for p in a.model.parameters())
    assert rows[-1]["kl_new"] < 0.5 * rows[0]["kl_new"]
    assert same(a, b)


@pytest.mark.slow
@pytest.mark.skipif(torch.__version__ < COMPILES, reason="an older torch loses gradients where it compiles")
def test_compiled_layers_learn_the_same_and_are_left_as_they_were(
    fresh: Opener, groups: Any, matrix_VD: Tensor
) -> None:
    plain, fused = fresh(), fresh()
    # short rows, so that each step has several: for a step of one row all would be compiled once more
    config = CONFIG.model_copy(update={"epochs": 1, "method": "lora", "row_tokens": 64, "layers": 1.0})
    wanted = integrate(plain, matrix_VD, groups, config, seed=0)
    torch._dynamo.utils.counters.clear()
    rows = integrate(fused, matrix_VD, groups, config.model_copy(update={"compiled": True}), seed=0)
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in wanted], rel=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1  # for all layers that are compiled
    assert all(layer._compiled_call_impl is None for layer in fused.model.base_model.layers)
    assert answer(fused, QUESTIONS, max_new_tokens=4) == answer(plain, QUESTIONS, max_new_tokens=4)


def test_an_old_torch_that_would_lose_gradients_does_not_compile(
    fresh: Opener, groups: Any, matrix_VD: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)("2.11.0+cu130"))
    with pytest.raises(ValueError, match=r"integrate.compiled: torch 2.11.0\+cu130 .* 2.13 or newer"):
        integrate(fresh(), matrix_VD, groups, CONFIG.model_copy(update={"compiled": True}), seed=0)
