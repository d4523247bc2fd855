"""What every loop learns and is asked afterwards: pairs of an experience file, taught or not, and its probes."""

from collections.abc import Sequence
from dataclasses import replace

from models import facts, forms
from models.evaluate import Question
from models.model import LanguageModel
from models.records import Experience, QAPair
from models.synthesize import SELF, Leak, filtered, given
from models.teacher import TargetSentence, target_sentences

Pair = tuple[str, str, str]  # context, question, answer


def pairs_of(experiences: Sequence[Experience]) -> list[Pair]:
    """The pairs of the records, or questions that grammar makes of their sentences; none (nearly) equals a probe."""
    leak = Leak.of(experiences, ())
    return [
        (experience.text, pair.question, pair.answer)
        for experience in experiences
        for pair in filtered(given(experience) or _by_grammar(experience), leak)
    ]


def _by_grammar(experience: Experience) -> list[QAPair]:
    told = facts.sentences(experience)
    asked = forms.asked(told)
    written = (*(form.written() for form in asked), *forms.placed(asked, told), *forms.echoes(told, 2))
    return [QAPair(experience=experience.id, kind="plain", writer=SELF, **pair._asdict()) for pair in written]


def taught(
    teacher: LanguageModel, pairs: Sequence[Pair], *, evidence: bool = False, written: float = 0.0
) -> list[TargetSentence]:
    """The pairs as target sentences, context by context; by default as published (`IntegrateConfig` says the rest)."""
    result = []
    for context in dict.fromkeys(pair[0] for pair in pairs):
        own = [pair[1:] for pair in pairs if pair[0] == context]
        told = facts.sentences(Experience(id="context", context=context))
        proofs = [facts.evidence(told, *pair) if evidence else None for pair in own]
        shares = [written] * len(own)
        result += target_sentences(teacher, context, own, origin="new", evidence=proofs, written=shares)
    return result


def probes_of(experiences: Sequence[Experience], *, open_book: bool = False) -> list[Question]:
    """The probes of the records; with the context in front for the open book."""
    asked = [(e.text, Question("", e.id, probe)) for e in experiences for probe in e.probes]
    return [replace(question, context=text) if open_book else question for text, question in asked]
