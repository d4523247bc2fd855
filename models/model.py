"""Loading and saving causal language models, and choosing the number format and attention that are fast here.

Knows nothing of training. A model is a Hugging Face causal LM, by hub name or folder; `models.fit` says
which are refused.
"""

import logging
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from models import attention, machine
from models.configs import window_of
from models.contexts import end_of_turn, settle_template
from models.files import written_aside

ELSE = "Choose a model of another architecture, such as Llama, Qwen, Mistral or SmolLM"


@dataclass(frozen=True)
class LanguageModel:
    """A causal LM with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def output_matrix_VD(self) -> Tensor:
        """The matrix that turns a last hidden state (D) into logits (V)."""
        head = self.model.get_output_embeddings()
        if not isinstance(head, nn.Linear) or head.bias is not None:
            raise ValueError(
                f"{type(self.model).__name__} has no plain output matrix; "
                "only models whose logits are hidden @ W.T can be taught from stored states"
            )
        return head.weight

    @property
    def end_ids(self) -> frozenset[int]:
        """The tokens that end a text: the end of sequence, that of a turn, and what the model's own settings name."""
        return frozenset(_ends(self.model, self.tokenizer))

    @property
    def window(self) -> int | None:
        """How many tokens the model can look at; None where its configuration names no number."""
        return window_of(vars(self.model.config.get_text_config()))

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder layers, lowest first: the longest list of modules, as in every causal LM."""
        lists = (module for module in self.model.modules() if isinstance(module, nn.ModuleList))
        return max(lists, key=len)

    def hidden_BLD(self, **inputs: object) -> Tensor:
        """Last hidden states after the final norm, [batch, length, width]; no logits are computed."""
        return self.model.base_model(**inputs).last_hidden_state


def load(
    name_or_path: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    fused_kernels: bool = True,
) -> LanguageModel:
    """Load a model by hub name or folder, in evaluation mode.

    `dtype` defaults to `fast_dtype(device)`. `fused_kernels` of Liger are used on a GPU where they are installed;
    torch.compile cannot read them, so where a model is to be compiled, all that the process loads go without (Liger
    changes the classes that later models are made of). Raises ValueError where nothing can be loaded from there.
    """
    device = device or best_device()
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        model = AutoModelForCausalLM.from_pretrained(
            name_or_path, dtype=dtype or fast_dtype(device), attn_implementation=attention.NAME
        )
    except OSError as error:
        raise ValueError(
            f"cannot load a model from {name_or_path}: {error}. "
            "Give a folder with config.json and safetensors, or a hub name this machine can reach (base.model)."
        ) from error
    except KeyError as error:
        if error.args != (attention.NAME,):
            raise
        raise ValueError(f"base.model: {name_or_path} takes no attention but its own. {ELSE}.") from error
    if tokenizer.eos_token_id is None:
        raise ValueError(f"the tokenizer of {name_or_path} has no end-of-sequence token: an answer could never end")
    pad = tokenizer.pad_token_id
    if pad is None or pad >= model.get_input_embeddings().weight.shape[0]:  # added to the tokenizer alone
        tokenizer.pad_token = tokenizer.eos_token
    settle_template(tokenizer)
    model.to(device)  # type: ignore[arg-type]  # its decorator hides what it takes
    if device.type == "cuda" and fused_kernels:
        _with_fused_kernels(model)
    return LanguageModel(model.eval(), tokenizer)


def _with_fused_kernels(model: PreTrainedModel) -> None:
    """Liger's kernels for norms, rotary positions and gated layers, where they are installed (extra `gpu`).

    They are exact, and on an H100 a step takes an eighth less (docs/LOG.md). Its losses are left out: ours is
    `models.kl`.
    """
    if find_spec("liger_kernel"):
        logging.getLogger("liger_kernel").setLevel(logging.ERROR)  # it warns of each optional backend that is not there
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model, cross_entropy=False, fused_linear_cross_entropy=False)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, dtype: torch.dtype) -> None:
    """Write safetensors, config and tokenizer to `folder`, atomically; `model` itself is turned into `dtype`.

    Any Hugging Face program can open it. Generation is set to greedy, with none of the base's own
    penalties, so that all who load it answer alike.
    """
    model.generation_config = _greedy(model, tokenizer)
    with written_aside(folder) as aside:
        model.to(dtype)  # type: ignore[arg-type]
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)


def _greedy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    ends = _ends(model, tokenizer)
    return GenerationConfig(
        do_sample=False,
        bos_token_id=model.generation_config.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=tokenizer.pad_token_id,
    )


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    own = model.generation_config.eos_token_id
    listed = own if isinstance(own, list) else [own] if own is not None else []
    return sorted({tokenizer.eos_token_id, end_of_turn(tokenizer), *listed})


def best_device() -> torch.device:
    """The first GPU where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


_fast: dict[str, torch.dtype] = {}


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where this device multiplies matrices faster in it than in float32, else float32.

    Measured once a machine (some 50 ms; `models.machine`) with shapes of a small model's layer; processors with AMX
    gain fourfold, others lose.
    """
    if device.type not in _fast:
        is_faster = machine.chosen("bfloat16 is faster", device, lambda: _bfloat16_is_faster(device))
        _fast[device.type] = torch.bfloat16 if is_faster else torch.float32
    return _fast[device.type]


def _bfloat16_is_faster(device: torch.device) -> bool:
    return _product_seconds(device, torch.bfloat16) < 0.8 * _product_seconds(device, torch.float32)


def _product_seconds(device: torch.device, dtype: torch.dtype) -> float:
    rows_ND = torch.ones(512, 576, device=device, dtype=dtype)
    weight_DH = torch.ones(576, 1536, device=device, dtype=dtype)
    products = 1 if device.type == "cpu" else 50  # a GPU takes longer to be asked and waited for than for one product
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(products):
            product_NH = rows_ND @ weight_DH
        product_NH.sum().item()  # waits for the device
        best = min(best, time.perf_counter() - started)
    return best
