"""Unrelated text, written by the base itself: what users might ask it, and what it answers.

An instruct model that is shown only the beginning of a user's turn writes that turn (Magpie, Xu et al. 2024). So
any model can be held still on the kind of text that it was made for, with no corpus at hand and none to license.
Half of the turns are given a question's first words, for short questions of fact are what learning disturbs most.
"""

import torch

from models.answers import generate
from models.contexts import prompt_text
from models.metrics import normalise
from models.model import LanguageModel

_OPENINGS = ("", "What is the", "", "Who", "", "Where", "", "How many", "", "Which", "", "When did", "", "What")
_MARK = "\u241f"  # stands for the user's words where the template is cut; no template holds it


def user_turns(
    lm: LanguageModel, count: int, *, seed: int, max_new_tokens: int = 24, batch_size: int = 64
) -> list[str]:
    """At most `count` different user turns, sampled with `seed` and cut at their first line."""
    generator = torch.Generator().manual_seed(seed)
    before = prompt_text(lm.tokenizer, _MARK).split(_MARK)[0]
    openings = [_OPENINGS[i % len(_OPENINGS)] for i in range(count)]
    prompts = [
        lm.tokenizer(before + opening, add_special_tokens=not lm.tokenizer.chat_template).input_ids
        for opening in openings
    ]
    written = generate(
        lm, prompts, max_new_tokens=max_new_tokens, batch_size=batch_size, temperature=0.9, generator=generator
    )
    turns = [
        f"{opening} {text}".strip().split("\n")[0].strip() for opening, text in zip(openings, written, strict=True)
    ]
    return list({normalise(turn): turn for turn in turns if len(turn.split()) >= 3}.values())
