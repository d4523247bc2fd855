"""What comes with the program: simple facts that the base knows, and prompts that are nobody's data."""

import json
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "bundled"


@cache
def general_facts() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(question, gold answers) of general ability."""
    lines = (_FOLDER / "general.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple((fact["question"], tuple(fact["answers"])) for fact in map(json.loads, lines))


@cache
def unrelated_prompts() -> tuple[str, ...]:
    """Prompts to which the base writes the unrelated text that holds a student still."""
    lines = (_FOLDER / "unrelated.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(json.loads(line)["prompt"] for line in lines)
