"""`params.yaml` as one frozen record, a section a component. Importing it imports neither torch nor a tracker."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flows import settings
from flows.settings import RunConfig
from models.configs import BaseConfig, EvaluateConfig, IntegrateConfig, SynthesizeConfig
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
