"""The stages as DVC starts them: `selfparam stage NAME BATCH --parent PARENT` reads its section and calls the task.

Each branch imports its own task only: what a stage does not need it does not wait for.
"""

import logging
import sys
from math import inf
from typing import Literal

from pydantic import RootModel

from flows import lifeline, locks
from flows.settings import checked, read, section
from models.configs import BaseConfig, EvaluateConfig, IntegrateConfig, SynthesizeConfig
from tasks.workspace import BASE, Workspace

Stage = Literal["base", "validate", "synthesize", "integrate", "evaluate"]
OF_A_BATCH: tuple[Stage, ...] = ("validate", "synthesize", "integrate", "evaluate")

log = logging.getLogger("selfparam")


def run(ws: Workspace, name: Stage, batch: str, parent: str) -> None:
    """Run one stage here and now. The process dies with whoever started it."""
    lifeline.bind()
    logging.basicConfig(stream=sys.stdout, format="%(message)s")
    log.setLevel(logging.INFO)
    if (batch == BASE) != (name == BASE):
        raise ValueError("The stage `base` takes no batch; every other stage needs one, with its --parent.")
    perform(ws, name, batch, parent)


def perform(ws: Workspace, name: Stage, batch: str, parent: str) -> None:
    """Run one stage in this process, whoever may outlive whom."""
    seed = checked(ws, RootModel[int], read(ws).get("seed", 0), "seed").root
    match name:
        case "base":
            from tasks.base import base

            base(ws, section(ws, "base", BaseConfig), section(ws, "evaluate", EvaluateConfig), seed)
        case "validate":
            from tasks.validate import ValidateConfig, validate

            validate(ws, batch, parent, section(ws, "validate", ValidateConfig))
        case "synthesize":
            from tasks.synthesize import synthesize

            synthesize(ws, batch, parent, section(ws, "synthesize", SynthesizeConfig), seed)
        case "integrate":
            from tasks.integrate import integrate

            with locks.held(ws.root, "integrate", wait=inf):
                integrate(ws, batch, parent, section(ws, "integrate", IntegrateConfig), seed)
        case "evaluate":
            from tasks.evaluate import evaluate

            evaluate(ws, batch, parent, section(ws, "evaluate", EvaluateConfig), seed)


def named(name: str) -> Stage:
    """The stage called `name`."""
    for stage in ("base", *OF_A_BATCH):
        if stage == name:
            return stage
    raise ValueError(f"There is no stage {name}: base, {', '.join(OF_A_BATCH)}.")
