"""`params.yaml` as one frozen record: a section a component, each described beside the code that it configures.

Importing this module imports the stages' configurations, and with them torch: commands that answer at once
import it inside the function that needs it.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flows import settings
from flows.settings import RunConfig
from models.evaluate import EvaluateConfig
from models.integrate import IntegrateConfig
from models.synthesize import SynthesizeConfig
from tasks.base import BaseConfig
from tasks.gate import GateConfig
from tasks.registry import RegisterConfig
from tasks.validate import ValidateConfig
from tasks.workspace import Workspace


class Params(BaseModel):
    """Everything that an operator may change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, description="the seed of every random choice in every stage")
    base: BaseConfig = BaseConfig()
    validate_: ValidateConfig = Field(default=ValidateConfig(), alias="validate")  # pydantic owns the name `validate`
    synthesize: SynthesizeConfig = SynthesizeConfig()
    integrate: IntegrateConfig = IntegrateConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    register_: RegisterConfig = Field(default=RegisterConfig(), alias="register")  # ABCMeta owns the name `register`
    gate: GateConfig = GateConfig()
    run: RunConfig = RunConfig()

    def recorded(self) -> dict[str, Any]:
        """The values as they were used, defaults included: what a run in the tracker is described by."""
        return self.model_dump(mode="json", by_alias=True, exclude={"run"})


def read(ws: Workspace) -> Params:
    """Read and check `params.yaml`; a wrong value is named with its section."""
    return settings.checked(ws, Params, settings.read(ws))
