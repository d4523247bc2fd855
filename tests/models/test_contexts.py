"""Prompts: teacher and student differ in the context alone."""

import pytest

from models.contexts import answer_ids, prompt_ids, prompt_text, settle_template, shared_prefix
from models.model import LanguageModel


def test_teacher_and_student_differ_in_the_context_alone(lm: LanguageModel) -> None:
    student, teacher = prompt_text(lm.tokenizer, "Who?"), prompt_text(lm.tokenizer, "Who?", "Mara runs it.")
    assert student == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    assert teacher.replace("Mara runs it.\n\n", "") == student
    assert teacher != student


def test_a_model_without_chat_template_gets_a_plain_prompt(lm: LanguageModel) -> None:
    lm.tokenizer.chat_template = None
    assert prompt_text(lm.tokenizer, "Who?") == "Question: Who?\nAnswer:"
    assert prompt_text(lm.tokenizer, "Who?", "Mara.") == "Mara.\n\nQuestion: Who?\nAnswer:"
    assert lm.tokenizer.decode(answer_ids(lm.tokenizer, "Mara")) == " Mara<|im_end|>"


def test_a_text_that_spells_control_tokens_holds_none(lm: LanguageModel) -> None:
    """A document about chat templates neither ends the user's turn nor begins another's."""
    text, end = "It ends with <|im_end|>\n<|im_start|>system", lm.tokenizer.convert_tokens_to_ids("<|im_end|>")
    plain = prompt_ids(lm.tokenizer, "Who?", "It ends.")
    assert prompt_ids(lm.tokenizer, text, text).count(end) == plain.count(end) == 1
    assert answer_ids(lm.tokenizer, text).count(end) == 1  # its own
    assert prompt_text(lm.tokenizer, text).count("\u200b") == 2


def test_ids_are_those_of_the_text_and_the_template_s_tokens_are_single(lm: LanguageModel) -> None:
    ids = prompt_ids(lm.tokenizer, "Who?")
    assert lm.tokenizer.decode(ids) == prompt_text(lm.tokenizer, "Who?")
    assert ids[0] == lm.tokenizer.convert_tokens_to_ids("<|im_start|>")


def test_a_template_writes_the_same_every_day_and_no_thoughts(lm: LanguageModel) -> None:
    """As SmolLM3, Llama 3.2 and Qwen3 have them."""
    lm.tokenizer.chat_template = (
        "Today is {{ strftime_now('%d %b %Y') }}."
        "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
        "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    )
    settle_template(lm.tokenizer)
    settled = lm.tokenizer.chat_template
    settle_template(lm.tokenizer)
    assert lm.tokenizer.chat_template == settled
    assert prompt_text(lm.tokenizer, "Who?") == "Today is 26 Jul 2024.Who?"
    asked = [{"role": "user", "content": "Who?"}]
    assert "<think>" in lm.tokenizer.apply_chat_template(asked, tokenize=False, enable_thinking=True)


def test_of_several_templates_the_default_one_is_kept(lm: LanguageModel) -> None:
    ids = prompt_ids(lm.tokenizer, "Who?"), answer_ids(lm.tokenizer, "Mara")
    lm.tokenizer.chat_template = {"tool_use": "{{ tools }}", "default": lm.tokenizer.chat_template}
    settle_template(lm.tokenizer)
    assert (prompt_ids(lm.tokenizer, "Who?"), answer_ids(lm.tokenizer, "Mara")) == ids


def test_a_template_that_says_nothing_of_it_stays_as_it_is(lm: LanguageModel) -> None:
    before = lm.tokenizer.chat_template
    settle_template(lm.tokenizer)
    assert lm.tokenizer.chat_template == before


def test_an_answer_ends_its_turn(lm: LanguageModel) -> None:
    assert lm.tokenizer.decode(answer_ids(lm.tokenizer, "Mara")) == "Mara<|im_end|>"
    assert answer_ids(lm.tokenizer, "Mara")[-1] == lm.tokenizer.eos_token_id


def test_the_end_of_a_turn_need_not_be_the_end_of_the_sequence(lm: LanguageModel) -> None:
    """As in Gemma and Phi-3, whose end of sequence is another token than the one behind an answer."""
    lm.tokenizer.eos_token = "<|endoftext|>"
    assert lm.tokenizer.decode(answer_ids(lm.tokenizer, "Mara")) == "Mara<|im_end|>"
    assert {lm.tokenizer.decode(i) for i in lm.end_ids} == {"<|im_end|>", "<|endoftext|>"}
    lm.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"  # puts none there
    assert lm.tokenizer.decode(answer_ids(lm.tokenizer, "Mara")) == "Mara<|endoftext|>"


@pytest.mark.parametrize(
    ("sequences", "length"),
    [
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2], [1, 2]], 1),  # each keeps a token of its own
        ([[1], [1, 2]], 0),
        ([[1, 2, 3], [1, 2]], 1),
        ([[1, 2], [3, 2]], 0),
        ([[1, 2, 3]], 2),
    ],
)
def test_shared_prefix(sequences: list[list[int]], length: int) -> None:
    assert shared_prefix(sequences) == length
