"""Whether a model is computed here as its own code computes it.

Attention is ours, a shared beginning is run once, sentences are packed into rows, the lowest layers' states are kept
for those above, and logits are hidden states times the output matrix. All that fits Llama, Qwen, Mistral, SmolLM and
most others, but not every architecture: one may not pass a prefix on to its attention, look no further back than a
window, or scale its logits. Such a model would learn from a teacher that never read the text, and nothing would fail.
So a base is held against itself before anything is made of it.
"""

from collections.abc import Sequence

import torch

from models import attention
from models.model import ELSE, LanguageModel
from models.packed_model import PackedModel
from models.teacher import TargetSentence, states_after

FARTHEST = 0.05  # nats per token, between two ways to compute the same; 16-bit rounding stays below 0.005
LENGTH = 48  # tokens of a text, where the model looks back at all of them
WIDEST = 2048  # tokens; of a wider window, no context is taken that it does not hold


@torch.no_grad()
def check(lm: LanguageModel) -> None:
    """Raise ValueError where our distributions are not those of the model's own eager attention: with a shared
    beginning, without, and packed."""
    length = LENGTH + _window(lm)
    generator = torch.Generator().manual_seed(0)
    beginning, *ends = torch.randint(len(lm.tokenizer), (3, length), generator=generator).tolist()
    texts = [[*beginning, *end[: LENGTH // 2]] for end in ends]
    own = [_own_logits(lm, text)[-9:-1] for text in texts]
    matrix_VD = lm.output_matrix_VD.cpu()
    try:
        ways = _our_states(lm, texts)
    except Exception as error:  # whatever it is: this model cannot be computed so (Bloom, Mamba)
        raise ValueError(f"base.model: {type(lm.model).__name__} cannot be computed here ({error}). {ELSE}.") from error
    for ours in ways:
        worst = max(_kl(logits_TV, states_TD @ matrix_VD.T) for logits_TV, states_TD in zip(own, ours, strict=False))
        if not worst < FARTHEST:
            raise ValueError(
                f"base.model: {type(lm.model).__name__} is computed otherwise here than by transformers "
                f"({worst:.2g} nats per token apart): its attention or its logits are of a kind that is not supported. "
                f"{ELSE}."
            )


def _our_states(lm: LanguageModel, texts: list[list[int]]) -> list[Sequence[torch.Tensor]]:
    """The states that predict the last eight tokens of each text, [8, D]: after a shared beginning, of the first text
    alone, and packed."""
    split = [(text[:-8], text[-8:]) for text in texts]
    packed = PackedModel(lm, row_tokens=4 * LENGTH, below=list(lm.layers[:-1]))
    sentences = [TargetSentence("", tuple(p), tuple(a), torch.empty(0), "", "") for p, a in split]
    packed.keep(sentences)
    ways = [states_after(lm, *zip(*together, strict=True)) for together in (split, split[:1])]
    return [*ways, packed.hidden_ND(sentences).cpu().split(8)]


def _own_logits(lm: LanguageModel, ids: list[int]) -> torch.Tensor:
    lm.model.set_attn_implementation("eager")
    try:
        logits: torch.Tensor = lm.model(input_ids=torch.tensor([ids], device=lm.device), use_cache=False).logits
    finally:
        lm.model.set_attn_implementation(attention.NAME)
    return logits[0].cpu()


def _kl(own_TV: torch.Tensor, ours_TV: torch.Tensor) -> float:
    own, ours = own_TV.float().log_softmax(-1), ours_TV.float().log_softmax(-1)
    return float((own.exp() * (own - ours)).sum(-1).mean())


def _window(lm: LanguageModel) -> int:
    """How far some layer looks back, where that is less than what may be asked about; else 0."""
    window = getattr(lm.model.config.get_text_config(), "sliding_window", None) or 0
    return window if window <= WIDEST else 0
