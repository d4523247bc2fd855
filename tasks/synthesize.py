"""The stage `synthesize`: question-answer pairs about every accepted experience.

Run it: `selfparam stage synthesize b0001 --parent b0000`.
"""

import logging
from collections import Counter

from models import model
from models import synthesize as core
from models.files import write_json, written_aside
from models.records import Experience, HistoryEntry, read_records, write_records
from models.synthesize import SynthesizeConfig
from tasks.bundle import general_facts
from tasks.workspace import BASE, Workspace

log = logging.getLogger("selfparam")


def synthesize(ws: Workspace, batch: str, parent: str, config: SynthesizeConfig, seed: int) -> None:
    """Write `pairs.jsonl` and `report.json`. No probe, of this batch or before, and no general fact is asked."""
    validated = ws.validated(batch)
    experiences = read_records(validated / "experiences.jsonl", Experience)
    history = read_records(validated / "history.jsonl", HistoryEntry)
    forbidden = [p.question for entry in history for p in entry.experience.probes]
    forbidden += [question for question, _ in general_facts()]
    pairs = core.synthesize(model.load(ws.weights(BASE)), experiences, config, seed=seed, forbidden=forbidden)
    silent = sorted({e.id for e in experiences} - {p.experience for p in pairs})
    if silent:
        log.warning("synthesize %s: no pair about %s: it will not be learnt", batch, ", ".join(silent))
    with written_aside(ws.qa(batch)) as aside:
        aside.mkdir()
        write_records(aside / "pairs.jsonl", pairs)
        write_json(
            aside / "report.json",
            {
                "batch": batch,
                "pairs": len(pairs),
                "by_kind": dict(sorted(Counter(p.kind for p in pairs).items())),
                "by_writer": dict(sorted(Counter(p.writer for p in pairs).items())),
                "without_pairs": silent,
            },
        )
    log.info("synthesize %s: %d pairs about %d experiences", batch, len(pairs), len(experiences))
