"""What a round costs against its size: number of experiences, length of the context, length of the history, probes.

    python -m benchmarks.scale contexts.jsonl --model folder-of-a-model

Learning is one pass over the given pairs, so seconds can be compared between rows; a round makes several. Each table
changes one size and leaves the others: the teacher's seconds are those of reading contexts and scoring pairs, the
student's those of its steps.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

from benchmarks.lessons import Pair, pairs_of, probes_of, taught
from benchmarks.machine import described, parser
from models import model
from models.configs import EvaluateConfig, IntegrateConfig
from models.course import NEW
from models.evaluate import Question, answer_probes
from models.integrate import integrate
from models.memory import within_budget
from models.records import Experience, read_records
from models.teacher import TargetSentence

HEAD = ("pairs", "teacher (s)", "steps", "student (s)", "s a step")


def main() -> None:
    """Print a table in Markdown for each size."""
    options = parser("benchmarks.scale", __doc__)
    options.add_argument("file", type=Path, help="experience file; without `qa`, sentences are asked about by grammar")
    options.add_argument("--model", required=True, help="folder or hub name of a causal language model")
    options.add_argument("--experiences", type=int, nargs="+", default=[1, 4, 16, 64], help="records")
    options.add_argument("--context", type=int, nargs="+", default=[128, 256, 512, 1024, 1900], help="tokens")
    options.add_argument("--history", type=int, nargs="+", default=[0, 400, 1600], help="earlier target sentences")
    options.add_argument("--probes", type=int, default=500, help="to be answered")
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    records = read_records(arguments.file, Experience)
    bench = Bench(arguments.model, arguments.seed)
    print(f"{described(arguments)}\none pass, batches of {bench.config.batch_size}")

    _head("experiences")
    for count in arguments.experiences:
        bench.row(len(records[:count]), pairs_of(records[:count]))

    _head("context (tokens)")
    for tokens in arguments.context:
        bench.row(*bench.about_a_long_text(records, tokens))

    _head("history (sentences)")
    first = min(4, (len(records) + 1) // 2)
    pairs, earlier = pairs_of(records[:first]), taught(bench.teacher, pairs_of(records[first : first + 8]))
    for count in arguments.history:
        origins = [replace(s, origin=f"b{i % 40:04d}") for i, s in enumerate(islice(cycle(earlier), count))]
        bench.row(len(origins), pairs, within_budget(origins, bench.config.replay_budget, seed=arguments.seed))

    asked: list[Question] = list(islice(cycle(probes_of(records)), arguments.probes))
    started = time.monotonic()
    answer_probes(bench.teacher, asked, EvaluateConfig())
    print(
        f"\n{len(asked)} probes answered and their gold answers scored, closed book: {time.monotonic() - started:.0f} s"
    )


class Bench:
    """A teacher, and a fresh student for each row."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.seed = name, seed
        self.teacher = model.load(name)
        self.config = IntegrateConfig(epochs=1, least_steps=0)

    def row(self, size: int, pairs: Sequence[Pair], replay: Sequence[TargetSentence] = ()) -> None:
        started = time.monotonic()
        new = taught(self.teacher, pairs)
        teacher = time.monotonic() - started
        student = model.load(self.name)
        started = time.monotonic()
        matrix_VD = self.teacher.output_matrix_VD.detach()
        rows = integrate(student, matrix_VD, {NEW: new, "replay": replay}, self.config, seed=self.seed)
        spent = time.monotonic() - started
        cells = (size, len(new), f"{teacher:.1f}", len(rows), f"{spent:.1f}", f"{spent / len(rows):.2f}")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)

    def about_a_long_text(self, records: Sequence[Experience], tokens: int) -> tuple[int, list[Pair]]:
        """The pairs of the first record, the text of which is followed by that of the others, up to so many tokens; and
        how many they are, for a short file may have fewer."""
        tokenizer = self.teacher.tokenizer
        ids = tokenizer("\n".join(e.text for e in records), add_special_tokens=False).input_ids[:tokens]
        text = tokenizer.decode(ids)
        assert isinstance(text, str)
        return len(ids), [(text, question, answer) for _, question, answer in pairs_of(records[:1])]


def _head(size: str) -> None:
    print(f"\n| {size} | {' | '.join(HEAD)} |\n|{' --- |' * (len(HEAD) + 1)}")


if __name__ == "__main__":
    main()
