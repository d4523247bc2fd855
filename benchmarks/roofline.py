"""How near a training step comes to what the machine can do: matrix products' share of its time, and their speed.

    python -m benchmarks.roofline sample/day-1.jsonl --model folder-of-a-model

The peak is the fastest of some large products in the same number format. The step is the default one, without replay:
new sentences beside unrelated ones, for which the same file's stand in.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.lessons import pairs_of, taught
from benchmarks.machine import described, parser
from models import model
from models.configs import IntegrateConfig
from models.integrate import integrate
from models.records import Experience, read_records
from models.teacher import TargetSentence

PRODUCTS = ("aten::mm", "aten::addmm", "aten::addmm_", "aten::bmm", "aten::baddbmm", "aten::linear")
WARM_UP = 3  # steps that are not counted


def main() -> None:
    """Measure the peak and some steps, and print both."""
    options = parser("benchmarks.roofline", __doc__)
    options.add_argument("file", type=Path, help="experience file; without `qa`, sentences are asked about by grammar")
    options.add_argument("--model", required=True, help="folder or hub name of a causal language model")
    options.add_argument("--method", choices=("lora", "full"), default="lora")
    options.add_argument("--steps", type=int, default=6)
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    teacher, student = model.load(arguments.model), model.load(arguments.model)
    config = IntegrateConfig(method=arguments.method, learning_rate=1e-4)
    sentences = taught(teacher, pairs_of(read_records(arguments.file, Experience)))
    wanted = (WARM_UP + arguments.steps) * config.batch_size
    new = (sentences * (wanted // len(sentences) + 1))[:wanted]
    groups: dict[str, Sequence[TargetSentence]] = {"new": new, "unrelated": sentences}
    rows, products, seconds = _profiled(
        student, teacher, groups, config.model_copy(update={"epochs": 1, "least_steps": 0}), arguments.seed
    )
    peak = peak_products(student.device, student.model.dtype)
    print(f"{described(arguments)}\n{student.model.dtype}, {rows} steps after {WARM_UP}\n")
    print(
        "| a step (s) | of which products (s) | share | peak of large products (GFLOP/s) |\n| --- | --- | --- | --- |"
    )
    print(f"| {seconds / rows:.2f} | {products / rows:.2f} | {products / seconds:.0%} | {peak / 1e9:.0f} |")


def _profiled(
    student: model.LanguageModel,
    teacher: model.LanguageModel,
    groups: dict[str, Sequence[TargetSentence]],
    config: IntegrateConfig,
    seed: int,
) -> tuple[int, float, float]:
    """(steps counted, seconds in products, seconds in all) of the steps after the first `WARM_UP`."""
    is_gpu = student.device.type == "cuda"
    watched = profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_gpu else [])])
    times: list[float] = []

    def on_step(row: dict[str, float]) -> None:
        times.append(time.perf_counter())
        if row["step"] == WARM_UP:
            watched.start()
            times[-1] = time.perf_counter()
        if row["step"] == row["steps"]:
            watched.stop()

    integrate(student, teacher.output_matrix_VD.detach(), groups, config, seed=seed, on_step=on_step)
    spent = sum(
        event.self_device_time_total if is_gpu else event.self_cpu_time_total
        for event in watched.key_averages()
        if event.key in PRODUCTS
    )
    return len(times) - WARM_UP, spent / 1e6, times[-1] - times[WARM_UP - 1]


def peak_products(device: torch.device, dtype: torch.dtype, side: int = 2048, tries: int = 8) -> float:
    """Floating-point operations a second of the fastest of `tries` products of two [side, side] matrices."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(tries):
        started = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


if __name__ == "__main__":
    main()
