"""On-policy target sentences: the student writes the answers, the teacher that has read the context scores them.

As in SDFT (Shenfeld et al. 2026): the student is corrected where its own answers go, and not only where the written
ones go. Here a share of the sentences is rewritten so for each pass, beside those that stay as they were written.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from models.answers import generate
from models.model import LanguageModel
from models.teacher import TargetSentence, target_sentences


@dataclass(frozen=True)
class Rollouts:
    """Rewrites target sentences. `contexts` are the experiences' texts by id, which the teacher reads."""

    teacher: LanguageModel
    contexts: Mapping[str, str]
    share: float
    max_new_tokens: int
    batch_size: int = 128

    def rewritten(
        self, student: LanguageModel, sentences: Sequence[TargetSentence], among: Sequence[int], *, seed: int
    ) -> dict[int, TargetSentence]:
        """A share of the sentences with the indices `among`, drawn with `seed`, with the student's greedy answers.

        What the student leaves unanswered keeps its written answer. The whole target is the teacher's distribution.
        """
        order = torch.randperm(len(among), generator=torch.Generator().manual_seed(seed)).tolist()
        chosen = sorted(among[k] for k in order[: math.ceil(self.share * len(among))])
        said = generate(
            student,
            [sentences[i].prompt for i in chosen],
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
        )
        by_experience: dict[str, list[tuple[int, str]]] = {}
        for i, text in zip(chosen, said, strict=True):
            if text:
                by_experience.setdefault(sentences[i].experience, []).append((i, text))
        found: dict[int, TargetSentence] = {}
        for experience, own in by_experience.items():
            scored = target_sentences(
                self.teacher,
                self.contexts[experience],
                [(sentences[i].question, text) for i, text in own],
                origin=sentences[own[0][0]].origin,
                experience=experience,
                evidence=[sentences[i].evidence for i, _ in own],
            )
            found |= dict(zip([i for i, _ in own], scored, strict=True))
        return found
