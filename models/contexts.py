"""How contexts, questions and answers become token ids: the teacher's prompt and the student's.

The two differ in one thing only: the teacher's user message begins with the context, and, where it is known what of
the context a question is about, that part stands once more next to the question: small models overlook what is far.
A model with a chat template gets its template; one without gets "Question: … Answer: …".
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

SETTLED = (
    "{%- macro strftime_now(form) -%}26 Jul 2024{%- endmacro -%}"
    "{%- if enable_thinking is not defined -%}{%- set enable_thinking = false -%}{%- endif -%}"
)


def prompt_text(tokenizer: PreTrainedTokenizerBase, question: str, context: str | None = None) -> str:
    """The prompt up to where the answer begins; with `context` it is the teacher's, without the student's."""
    question, context = as_text(tokenizer, question), context and as_text(tokenizer, context)
    if tokenizer.chat_template:
        content = f"{context}\n\n{question}" if context else question
        return chat_text(tokenizer, [{"role": "user", "content": content}])
    return f"{context}\n\nQuestion: {question}\nAnswer:" if context else f"Question: {question}\nAnswer:"


def as_text(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """`text` without the tokenizer's control tokens: where it spells one, as a document about chat templates does
    (`<|im_end|>`), a zero-width space keeps it from being read as the end of a turn."""
    controls = _controls(tokenizer)
    return controls.sub(lambda found: f"{found[0][0]}\u200b{found[0][1:]}", text) if controls else text


@lru_cache(maxsize=16)
def _controls(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    tokens = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True)))) if tokens else None


def beside(context: str, evidence: str | None) -> str:
    """What the teacher reads: the context, and once more, next to the question, what the answer rests on, if known."""
    return f"{context}\n\n{evidence}" if evidence else context


def settle_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let the chat template, in place, write the same text every day, and ask for an answer without a chain of thought.

    Some put today's date into a prompt, some have the model think first unless it is said otherwise. Of several by
    name the default one is kept. It is saved with the tokenizer, so that whoever loads a version prompts it as it was
    taught.
    """
    template: str | dict[str, str] | None = tokenizer.chat_template
    if isinstance(template, dict):
        template = tokenizer.chat_template = template.get("default") or next(iter(template.values()), None)
    if not template or template.startswith(SETTLED):
        return
    if "strftime_now" in template or "enable_thinking" in template:
        tokenizer.chat_template = SETTLED + template


def chat_text(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]]) -> str:
    """Messages as the chat template writes them, up to where the assistant's next one begins."""
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert isinstance(text, str)
    return text


def prompt_ids(tokenizer: PreTrainedTokenizerBase, question: str, context: str | None = None) -> list[int]:
    """Token ids of `prompt_text`."""
    # A chat template writes its special tokens itself; a plain prompt wants the tokenizer's own (such as <s>).
    return tokenizer(
        prompt_text(tokenizer, question, context), add_special_tokens=not tokenizer.chat_template
    ).input_ids


def answer_ids(tokenizer: PreTrainedTokenizerBase, answer: str) -> list[int]:
    """Token ids of an answer and of the end of the turn, so that stopping is learnt too."""
    text = as_text(tokenizer, answer)
    text = text if tokenizer.chat_template else f" {text}"
    return [*tokenizer(text, add_special_tokens=False).input_ids, end_of_turn(tokenizer)]


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that the chat template puts behind an answer, which need not be the tokenizer's end of sequence (Gemma,
    Phi-3); without a template, or with one that puts none there, the end of sequence."""
    return _end_of_turn(tokenizer, tokenizer.chat_template)


@lru_cache(maxsize=16)
def _end_of_turn(tokenizer: PreTrainedTokenizerBase, template: str | None) -> int:
    eos = tokenizer.eos_token_id
    assert isinstance(eos, int)  # `models.model.load` sees to it
    if not template:
        return eos
    asked = [{"role": "user", "content": "How many?"}]
    said = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": "twenty-one"}], tokenize=False)
    assert isinstance(said, str)
    _, found, rest = said.rpartition("twenty-one")
    after = tokenizer(rest, add_special_tokens=False).input_ids
    is_end = found and after and after[0] in tokenizer.added_tokens_decoder
    return after[0] if is_end else eos


def shared_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix of all sequences, leaving each at least one token of its own."""
    shortest = min(len(s) for s in sequences)
    first = sequences[0]
    for i in range(shortest - 1):
        if any(s[i] != first[i] for s in sequences):
            return i
    return max(shortest - 1, 0)
