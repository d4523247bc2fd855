"""The machine: what it is called, and what was measured of it.

Number format and attention are chosen by the clock. A busy machine's clock says other things than an idle one's, and
another choice rounds otherwise: the same seed would give other weights. So what the first process measures is written
into the user's cache folder, and all others go by it.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

# The first cosine of a process sets up MKL's vector functions. Where two threads do so at once, one of them may compute
# that first result with less accuracy: other rotary positions, and other weights from the same seed (docs/LOG.md).
torch.ones(1).cos()


def cache_folder() -> Path:
    """The user's cache folder for this program: `$XDG_CACHE_HOME/selfparam`, or else `~/.cache/selfparam`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "selfparam"


def described(device: torch.device) -> str:
    """The GPU's name, or the processor's with what it has for bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line for line in lines if line.startswith("flags")), "")
    fast = [flag for flag in ("amx_bf16", "avx512_bf16") if f" {flag}" in flags]
    return " ".join([named, *fast])


def chosen(what: str, device: torch.device, measure: Callable[[], bool]) -> bool:
    """What `measure` said when it was first asked about `what` on this machine, with this torch and as many threads.

    Deleting the folder `measured` in the cache folder lets it be measured anew. Where nothing can be written there,
    each process measures for itself.
    """
    machine = f"{described(device)}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    name = hashlib.sha256(f"{machine}: {what}".encode()).hexdigest()[:16]
    path = cache_folder() / "measured" / f"{name}.json"
    if (before := _read(path)) is not None:
        return before
    result = measure()
    aside = path.with_name(f".{path.name}.aside-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps({"machine": machine, "what": what, "chosen": result}) + "\n", encoding="utf-8")
        os.link(aside, path)  # of processes that measured side by side the first is right
    except FileExistsError:
        before = _read(path)
        if before is None:  # damaged
            aside.replace(path)
    except OSError:
        pass
    with suppress(OSError):
        aside.unlink()
    return result if before is None else before


def _read(path: Path) -> bool | None:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["chosen"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
