"""Workspaces in which a round of the tiny model takes seconds, and the command line as a person calls it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

SELFPARAM = [sys.executable, "-P", "-m", "flows.cli"]
Workspaces = Callable[[Path], Path]


def environment() -> dict[str, str]:
    """What a person's shell would hold, with no Prefect of somebody else's."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return {**mine, "PREFECT_PROFILES_PATH": "/nowhere/profiles.toml", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}


def call(workspace: Path, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """`selfparam …` in a workspace."""
    done = subprocess.run([*SELFPARAM, *arguments], cwd=workspace, env=environment(), capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{arguments}: {done.stdout}\n{done.stderr}"
    return done


def git(workspace: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=workspace, check=True, capture_output=True, text=True).stdout


def day(path: Path, name: str, fact: str = "green") -> Path:
    """An experience file with one experience, its pair and its probe."""
    experience = {
        "id": name,
        "context": f"The boat of {name} is painted {fact}. It sails to the island of Orm every single morning.",
        "probes": [{"question": f"What colour has the boat of {name}?", "answers": [fact]}],
        "qa": [{"question": f"How is the boat of {name} painted?", "answer": f"It is painted {fact}."}],
    }
    path.write_text(json.dumps(experience) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def new_workspace(tiny_model: Path) -> Workspaces:
    """Makes a workspace for the tiny model, with settings under which a round takes seconds and is accepted."""

    def make(folder: Path) -> Path:
        call(folder.parent, "init", str(folder))
        prompts = "".join(json.dumps({"prompt": f"What is number {i}?"}) + "\n" for i in range(8))
        (folder / "prompts.jsonl").write_text(prompts, encoding="utf-8")
        params = {
            "seed": 0,
            "base": {
                "model": str(tiny_model),
                "unrelated": "prompts.jsonl",
                "unrelated_tokens": 4,
                "unrelated_samples": 0,
            },
            "validate": {},
            "synthesize": {
                "samples": 0.2,
                "cloze": 1,
                "about": 0,
                "question_tokens": 8,
                "beside_given": False,
            },
            "integrate": {"epochs": 1, "least_steps": 0},
            "evaluate": {"max_new_tokens": 4, "general_tokens": 4},
            "register": {},
            "gate": {
                "max_kl_from_base": 100,
                "max_perplexity_ratio": 100,
                "min_log_likelihood_gain": -100,
                "min_recovered_gap": -100,
            },
            "run": {"commit": True},
        }
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        git(folder, "add", "params.yaml", "prompts.jsonl")
        git(folder, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "Settings of a test")
        return folder

    return make
