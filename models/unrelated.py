"""Unrelated text, written by the base itself: what users might ask it, and what it answers.

An instruct model that is shown only the beginning of a user's turn writes that turn (Magpie, Xu et al. 2024). So
any model can be held still on the kind of text that it was made for, with no corpus at hand and none to license.
Every other turn is a short question of fact, for these are what learning disturbs most; of those a model writes more
sensible ones when it goes on with a list.
"""

import torch

from models.answers import generate
from models.contexts import prompt_text
from models.metrics import normalise
from models.model import LanguageModel

_QUIZ = """Questions of a quiz:
- Which metal is liquid at room temperature?
- Who composed The Four Seasons?
- On which continent is Kenya?
- How many strings does a violin have?
- What do caterpillars turn into?
- When did the Second World War begin?
- What is the capital of Peru?
- Where do polar bears live?
- """
_OPENINGS = ("What is the", "Who", "Which", "How many", "What", "In which", "When", "Where", "Who wrote", "What do")
TOGETHER = 128  # turns that are sampled side by side: they share random numbers, so it is no setting
_MARK = "\u241f"  # stands for the user's words where the template is cut; no template holds it


def user_turns(lm: LanguageModel, count: int, *, seed: int, max_new_tokens: int = 24) -> list[str]:
    """At most `count` different user turns, sampled with `seed` and cut at their first line."""
    generator = torch.Generator().manual_seed(seed)
    before = prompt_text(lm.tokenizer, _MARK).split(_MARK)[0]
    free = lm.tokenizer(before, add_special_tokens=not lm.tokenizer.chat_template).input_ids
    openings = [_OPENINGS[i % len(_OPENINGS)] for i in range(count // 2)]

    def written(prompts: list[list[int]], temperature: float) -> list[str]:
        return generate(
            lm,
            prompts,
            max_new_tokens=max_new_tokens,
            batch_size=TOGETHER,
            temperature=temperature,
            generator=generator,
        )

    turns = written([free] * (count - len(openings)), 0.9)
    quiz = written([lm.tokenizer(_QUIZ + opening).input_ids for opening in openings], 0.7)
    turns += [f"{opening} {text}" for opening, text in zip(openings, quiz, strict=True)]
    lines = [turn.strip().split("\n")[0].strip() for turn in turns]
    return list({normalise(line): line for line in lines if len(line.split()) >= 3}.values())
