"""Loading and saving: what is written is what anybody opens."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.answers import answer
from models.model import LanguageModel, fast_dtype, load, save


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_saved_loads_with_transformers_alone(lm: LanguageModel, tmp_path: Path, dtype: torch.dtype) -> None:
    wanted = {name: p.detach().to(dtype) for name, p in lm.model.named_parameters()}
    save(lm.model, lm.tokenizer, tmp_path / "weights", dtype=dtype)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "weights", dtype=dtype)
    assert {n: p.shape for n, p in theirs.named_parameters()} == {n: p.shape for n, p in wanted.items()}
    assert all(torch.equal(p, wanted[name].cpu()) for name, p in theirs.named_parameters())
    assert AutoTokenizer.from_pretrained(tmp_path / "weights").chat_template == lm.tokenizer.chat_template
    assert json.loads((tmp_path / "weights" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    assert not [p for p in (tmp_path / "weights").iterdir() if p.suffix in (".bin", ".pt", ".pkl")]


def test_saving_twice_writes_the_same_bytes(lm: LanguageModel, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(lm.model, lm.tokenizer, tmp_path / name, dtype=torch.float32)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


def test_saved_models_answer_greedily_by_themselves(lm: LanguageModel, tmp_path: Path) -> None:
    lm.model.generation_config.do_sample = True
    lm.model.generation_config.temperature = 5.0
    lm.model.generation_config.min_p = 0.1  # with greedy generation it cannot even be saved
    lm.model.generation_config.repetition_penalty = 1.1
    save(lm.model, lm.tokenizer, tmp_path / "weights", dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "weights", dtype=torch.float32).to(lm.device)
    ids = lm.tokenizer("Who?", return_tensors="pt").input_ids.to(lm.device)
    assert not theirs.generation_config.do_sample
    assert theirs.generation_config.repetition_penalty in (None, 1.0)
    assert theirs.generation_config.eos_token_id == lm.tokenizer.eos_token_id
    lm.model.generation_config.eos_token_id = [7, lm.tokenizer.eos_token_id]
    save(lm.model, lm.tokenizer, tmp_path / "two", dtype=torch.float32)
    two = AutoModelForCausalLM.from_pretrained(tmp_path / "two", dtype=torch.float32)
    assert two.generation_config.eos_token_id == sorted([7, lm.tokenizer.eos_token_id])
    assert torch.equal(theirs.generate(ids, max_new_tokens=8), theirs.generate(ids, max_new_tokens=8))


def test_round_trip_keeps_the_answers(lm: LanguageModel, tmp_path: Path) -> None:
    before = answer(lm, ["Who?", "Where?"], max_new_tokens=8)
    save(lm.model, lm.tokenizer, tmp_path / "weights", dtype=torch.float32)
    assert answer(load(tmp_path / "weights", dtype=torch.float32), ["Who?", "Where?"], max_new_tokens=8) == before


def test_a_padding_token_that_the_model_does_not_know_is_not_used(lm: LanguageModel, tmp_path: Path) -> None:
    rows = lm.model.get_input_embeddings().weight.shape[0]
    lm.tokenizer.add_tokens([f"<{k}>" for k in range(rows - len(lm.tokenizer))])
    lm.tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert lm.tokenizer.pad_token_id == rows
    save(lm.model, lm.tokenizer, tmp_path / "weights", dtype=torch.float32)
    theirs = load(tmp_path / "weights", dtype=torch.float32)
    assert theirs.tokenizer.pad_token_id == lm.tokenizer.eos_token_id
    assert len(answer(theirs, ["Who?", "Where is it?"], max_new_tokens=3)) == 2


def test_loading_what_is_not_there_says_which_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"base\.model"):
        load(tmp_path / "nothing")


def test_a_tokenizer_without_an_end_is_refused(lm: LanguageModel, tmp_path: Path) -> None:
    lm.tokenizer.eos_token = None
    lm.model.save_pretrained(tmp_path / "weights")
    lm.tokenizer.save_pretrained(tmp_path / "weights")
    with pytest.raises(ValueError, match="end-of-sequence"):
        load(tmp_path / "weights")


def test_a_missing_padding_token_is_no_obstacle(lm: LanguageModel, tmp_path: Path) -> None:
    lm.tokenizer.pad_token = None
    save(lm.model, lm.tokenizer, tmp_path / "weights", dtype=torch.float32)
    opened = load(tmp_path / "weights", dtype=torch.float32)
    assert opened.tokenizer.pad_token_id == opened.tokenizer.eos_token_id
    wanted = answer(lm_with_padding(lm), ["Who?", "Where is it?"], max_new_tokens=6)
    assert answer(opened, ["Who?", "Where is it?"], max_new_tokens=6) == wanted


def lm_with_padding(lm: LanguageModel) -> LanguageModel:
    lm.tokenizer.pad_token = "<|endoftext|>"
    return lm


def test_hidden_states_times_the_output_matrix_are_the_logits(lm: LanguageModel) -> None:
    ids = torch.tensor([[5, 6, 7, 8]], device=lm.device)
    with torch.no_grad():
        mine = lm.hidden_BLD(input_ids=ids) @ lm.output_matrix_VD.T
        assert torch.allclose(mine, lm.model(input_ids=ids).logits, atol=1e-5)


def test_an_output_layer_with_a_bias_is_refused(lm: LanguageModel) -> None:
    lm.model.lm_head = torch.nn.Linear(32, 259, bias=True)
    with pytest.raises(ValueError, match="output matrix"):
        _ = lm.output_matrix_VD


def test_the_number_format_is_chosen_once() -> None:
    device = torch.device("cpu")
    assert fast_dtype(device) in (torch.float32, torch.bfloat16)
    assert fast_dtype(device) is fast_dtype(device)
