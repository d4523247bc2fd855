"""Makes a weights folder loadable by a stranger who has MLflow and nothing of ours.

`mlflow.transformers.log_model` would load the model, write it again beside the registry and copy that in: two
copies and seconds of work for the same bytes. What it leaves on disk is MLflow's documented format, a folder with
an `MLmodel` file; this module lays that folder out from links to the weights, so that the one copy is the
registry's own. Safetensors and JSON only: nothing here is pickled, and no code of ours is in it.

Knows nothing of runs, versions or batches.
"""

import json
from importlib.metadata import version
from pathlib import Path
from platform import python_version

import yaml
from mlflow import pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.types import llm

from models.files import size_of

MODEL = "model"  # the folder inside a version that any Hugging Face program opens, tokenizer included
_NOT_TOKENIZER = {"config.json", "generation_config.json", "provenance.json"}
_CHAT, _COMPLETIONS = "llm/v1/chat", "llm/v1/completions"


def lay_out(weights: Path, folder: Path, *, max_new_tokens: int, dtype: str, model_id: str, run_id: str) -> None:
    """Fill `folder` with links to `weights` and the files that MLflow needs to open them.

    With `mlflow.transformers.load_model` it becomes a text-generation pipeline, with `mlflow.pyfunc.load_model` a
    function from `{"messages": [{"role": "user", "content": question}]}` to an OpenAI-shaped reply. A model without
    a chat template takes `{"prompt": "Question: …\\nAnswer:"}` instead. Both answer greedily, computing in `dtype`
    whatever the weights are stored in.
    """
    pickled = [file.name for file in weights.rglob("*") if file.suffix in {".bin", ".pt", ".pth", ".pkl", ".ckpt"}]
    if pickled or not any(weights.glob("*.safetensors")):
        raise ValueError(f"{weights} must hold its weights as safetensors and nothing pickled; found {pickled}")
    for file in sorted(p for p in weights.rglob("*") if p.is_file()):
        name = file.relative_to(weights)
        if name.name != "generation_config.json":
            _link(folder / MODEL / name, file)
        if file.suffix != ".safetensors" and not file.name.endswith(".index.json") and name.name not in _NOT_TOKENIZER:
            _link(folder / "components" / "tokenizer" / name, file)
    _write_generation(weights, folder / MODEL / "generation_config.json", max_new_tokens)
    _write_environment(folder)
    _write_mlmodel(weights, folder, max_new_tokens=max_new_tokens, dtype=dtype, model_id=model_id, run_id=run_id)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target.resolve())


def _write_generation(weights: Path, path: Path, max_new_tokens: int) -> None:
    # A pipeline samples unless the model's own generation config says otherwise.
    source = weights / "generation_config.json"
    generation = json.loads(source.read_text(encoding="utf-8")) if source.exists() else {}
    for sampling in ("temperature", "top_p", "top_k"):
        generation.pop(sampling, None)
    generation |= {"do_sample": False, "max_new_tokens": max_new_tokens}
    path.write_text(json.dumps(generation, indent=2) + "\n", encoding="utf-8")


def _write_environment(folder: Path) -> None:
    names = ("mlflow", "torch", "transformers", "accelerate", "safetensors")
    pins = [f"{name}=={version(name).split('+')[0]}" for name in names]  # "+cpu" is not on the index
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    python = {"python": python_version(), "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(yaml.safe_dump(python), encoding="utf-8")
    conda = {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python_version()}", "pip", {"pip": pins}],
    }
    (folder / "conda.yaml").write_text(yaml.safe_dump(conda), encoding="utf-8")


def _write_mlmodel(weights: Path, folder: Path, *, max_new_tokens: int, dtype: str, model_id: str, run_id: str) -> None:
    config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    chat = _has_chat_template(weights)
    task = _CHAT if chat else _COMPLETIONS
    signature = (
        ModelSignature(inputs=llm.CHAT_MODEL_INPUT_SCHEMA, outputs=llm.CHAT_MODEL_OUTPUT_SCHEMA)
        if chat
        else ModelSignature(inputs=llm.COMPLETIONS_MODEL_INPUT_SCHEMA, outputs=llm.COMPLETIONS_MODEL_OUTPUT_SCHEMA)
    )
    described = Model(run_id=run_id, model_id=model_id, signature=signature, metadata={"task": task})
    described.add_flavor(
        "transformers",
        transformers_version=version("transformers"),
        code=None,
        task="text-generation",
        inference_task=task,
        instance_type="TextGenerationPipeline",
        pipeline_model_type=config["architectures"][0],
        model_binary=MODEL,
        source_model_name=config.get("model_type", "causal-lm"),
        torch_dtype=f"torch.{dtype}",
        components=["tokenizer"],
        tokenizer_type="AutoTokenizer",
    )
    pyfunc.add_to_model(
        described,
        loader_module="mlflow.transformers",
        conda_env="conda.yaml",
        python_env="python_env.yaml",
        # A chat template writes its special tokens itself; a plain prompt wants the tokenizer's own (such as <s>).
        model_config={"do_sample": False, "max_new_tokens": max_new_tokens, "add_special_tokens": not chat},
    )
    described.model_size_bytes = size_of(weights)
    described.save(str(folder / "MLmodel"))


def _has_chat_template(weights: Path) -> bool:
    if (weights / "chat_template.jinja").exists():
        return True
    return bool(json.loads((weights / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template"))
