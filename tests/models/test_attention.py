"""Our attention gives what transformers' own gives, with the prefix copied for every row or read in common."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from models import attention, model
from models.attention import LONG, Prefix, grouped_attention
from models.teacher import read_prefix


@pytest.fixture(scope="module")
def lm(tiny_model: Path) -> model.LanguageModel:
    return model.load(tiny_model, dtype=torch.float32)


@torch.no_grad()
def test_padded_rows_come_out_as_with_the_library_s_own_attention(lm: model.LanguageModel, tiny_model: Path) -> None:
    reference = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32, attn_implementation="eager")
    reference.to(lm.device)
    ids_BL = torch.arange(5, 29, device=lm.device).view(3, 8)
    seen_BL = torch.tensor([[1] * 8, [1] * 5 + [0] * 3, [0, 0] + [1] * 6], device=lm.device)
    inputs = {"input_ids": ids_BL, "attention_mask": seen_BL, "position_ids": (seen_BL.cumsum(-1) - 1).clamp_min(0)}
    ours_BLD, theirs_BLD = lm.hidden_BLD(**inputs), reference.model(**inputs).last_hidden_state
    assert torch.allclose(ours_BLD[seen_BL.bool()], theirs_BLD[seen_BL.bool()], atol=1e-5)


@torch.no_grad()
def test_a_prefix_read_in_common_is_as_good_as_one_run_in_every_row(lm: model.LanguageModel) -> None:
    tails_BL = torch.arange(20, 32, device=lm.device).view(4, 3)
    whole_BL = torch.cat([torch.arange(7, 12, device=lm.device).expand(4, -1), tails_BL], dim=-1)
    whole_BLD = lm.hidden_BLD(input_ids=whole_BL, use_cache=False)
    tail_BLD = lm.hidden_BLD(
        input_ids=tails_BL,
        position_ids=torch.arange(5, 8, device=lm.device).expand(4, -1),
        prefix=read_prefix(lm, whole_BL.tolist()),
        use_cache=False,
    )
    assert torch.allclose(tail_BLD, whole_BLD[:, 5:], atol=1e-5)


def test_a_long_row_comes_out_the_same_by_the_kernel_that_keeps_no_scores() -> None:
    torch.manual_seed(0)
    length = LONG + 8
    query, key, value = torch.randn(1, 4, length, 8), torch.randn(1, 2, length, 8), torch.randn(1, 2, length, 8)
    mask = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)[None, None]
    long, _ = grouped_attention(torch.nn.Module(), query, key, value, mask, scaling=0.3)
    short, _ = grouped_attention(torch.nn.Module(), query[:, :, :64], key[:, :, :64], value[:, :, :64],
                                 mask[:, :, :64, :64], scaling=0.3)  # fmt: skip
    assert torch.allclose(long[:, :64], short, atol=1e-5)


def test_long_rows_with_a_prefix_keep_no_scores_either(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 4, 24, 8), torch.randn(2, 2, 24, 8), torch.randn(2, 2, 24, 8)
    mask = torch.full((24, 24), torch.finfo(torch.float32).min).triu(1)[None, None].expand(2, -1, -1, -1)
    prefix = Prefix(5, (torch.randn(2, 5, 8),), (torch.randn(2, 5, 8),))
    layer = torch.nn.Module()
    layer.layer_idx = 0
    plain, _ = grouped_attention(layer, query, key, value, mask, scaling=0.3, prefix=prefix)
    monkeypatch.setattr(attention, "LONG", 23)
    monkeypatch.setattr(torch.Tensor, "softmax", None)  # of scores
    long, _ = grouped_attention(layer, query, key, value, mask, scaling=0.3, prefix=prefix)
    torch.testing.assert_close(long, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("masked", [True, False])
def test_what_a_gpu_computes_is_the_same_with_its_gradients(masked: bool) -> None:
    """Where there is a GPU it is its kernel, else torch's plain products take the same way."""
    torch.manual_seed(0)
    device = model.best_device()
    shapes = [(3, 6, 21, 8), (3, 2, 21, 8), (3, 2, 21, 8)]  # three query heads to a key head, an odd length
    states = [torch.randn(shape, device=device, requires_grad=True) for shape in shapes]
    mask = torch.full((21, 21), torch.finfo(torch.float32).min, device=device).triu(1).expand(3, 1, -1, -1)
    given = mask if masked else None
    ours = attention._memory_efficient(*states, given, 0.3)
    key, value = (x.repeat_interleave(3, dim=1) for x in states[1:])
    plain = torch.softmax(0.3 * states[0] @ key.mT + (mask if masked else 0), dim=-1) @ value
    upstream = torch.randn_like(plain)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    for mine, wanted in zip(*(torch.autograd.grad(out, states, upstream) for out in (ours, plain)), strict=True):
        torch.testing.assert_close(mine, wanted, atol=1e-5, rtol=1e-5)


def test_on_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_seconds", None)
    assert attention.fused_is_faster(torch.device("cuda"), torch.bfloat16)


@pytest.mark.parametrize("fused", [True, False])
def test_the_faster_way_is_measured_once_and_both_ways_give_the_same(
    fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "_measured", {})
    kind = (torch.device("cpu"), torch.float32)
    with torch.inference_mode():  # the first who asks may be an answer
        found = attention.fused_is_faster(*kind)
    monkeypatch.setattr(attention, "_seconds", None)  # it is not measured again
    assert attention.fused_is_faster(*kind) is found
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, n, 6, 8, requires_grad=True) for n in (4, 2, 2))
    mask = torch.full((6, 6), torch.finfo(torch.float32).min).triu(1)[None, None]
    attention._measured["cpu", torch.float32] = fused
    out, _ = grouped_attention(torch.nn.Module(), query, key, value, mask, scaling=0.3)
    repeated = [x.repeat_interleave(2, dim=1) for x in (key, value)]
    wanted = (query * 0.3 @ repeated[0].mT + mask).softmax(-1) @ repeated[1]
    torch.testing.assert_close(out, wanted.transpose(1, 2), atol=1e-5, rtol=0)
    ours, theirs = (
        torch.autograd.grad(x.square().sum(), (query, key, value), retain_graph=True) for x in (out, wanted)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_models_that_cap_their_scores_are_refused() -> None:
    heads = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match="caps its attention scores"):
        grouped_attention(torch.nn.Module(), heads, heads, heads, None, scaling=1.0, softcap=50.0)
