"""The stage `synthesize`: question-answer pairs about every accepted experience.

Run it: `selfparam stage synthesize b0001 --parent b0000`.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from models import model
from models import synthesize as core
from models.configs import EndpointConfig, SynthesizeConfig
from models.files import write_json, written_aside
from models.records import Experience, HistoryEntry, QAPair, read_records, write_records
from tasks.bundle import general_facts
from tasks.workspace import BASE, Workspace

log = logging.getLogger("selfparam")


def synthesize(ws: Workspace, batch: str, parent: str, config: SynthesizeConfig, seed: int) -> None:
    """Write `pairs.jsonl` and `report.json`. No probe, of this batch or before, and no general fact is asked.

    After the pairs to learn stand their near misses, which are not (kind `locality`).
    """
    validated = ws.validated(batch)
    experiences = read_records(validated / "experiences.jsonl", Experience)
    history = read_records(validated / "history.jsonl", HistoryEntry)
    forbidden = [p.question for entry in history for p in entry.experience.probes]
    forbidden += [question for question, _ in general_facts()]
    leak = core.Leak.of(experiences, forbidden)
    told: dict[str, Any] = {}
    if config.endpoint is None:
        pairs = core.synthesize(model.load(ws.weights(BASE)), experiences, config, seed=seed, forbidden=forbidden)
    else:
        pairs, told["endpoint"] = _by_endpoint(ws, experiences, config, config.endpoint, seed, leak)
    silent = sorted({e.id for e in experiences} - {p.experience for p in pairs})
    if silent:
        log.warning("synthesize %s: no pair about %s: it will not be learnt", batch, ", ".join(silent))
    if config.locality:
        pairs += core.neighbours(experiences, pairs, leak)
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
                **told,
            },
        )
    log.info("synthesize %s: %d pairs about %d experiences", batch, len(pairs), len(experiences))


def _by_endpoint(
    ws: Workspace,
    experiences: Sequence[Experience],
    config: SynthesizeConfig,
    endpoint_config: EndpointConfig,
    seed: int,
    leak: core.Leak,
) -> tuple[list[QAPair], dict[str, Any]]:
    """Given pairs, or else those of the endpoint's that are grounded in the context; and by grammar."""
    from tasks import endpoint  # its client takes a second to import, and most rounds ask no endpoint

    asked = {e.id: core.given(e) for e in experiences}
    bare = [e for e in experiences if not asked[e.id]]
    written, report = endpoint.write(bare, endpoint_config, seed=seed, cache=ws.endpoint_cache)
    report["ungrounded"] = 0
    if bare:
        lm = model.load(ws.weights(BASE))
        for e in bare:
            proven = core.filtered(core.with_evidence(e, core.unlike(written[e.id])), leak)
            asked[e.id] = core.grounded(lm, e, proven, config.least_gain)
            report["ungrounded"] += len(proven) - len(asked[e.id])
    if config.beside_given:
        asked = {e.id: core.with_forms(e, asked[e.id], config) for e in experiences}
    return [pair for e in experiences for pair in core.filtered(asked[e.id], leak)], report
