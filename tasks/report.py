"""The validation report of a batch as one HTML file that opens offline: no script, no font, no picture from the net.

Great Expectations' own pages load their styles from the net and hold times and random ids. This one is the same
whenever it is made from the same batch: it is an output in the graph of stages. Rows are named, never shown: what was
found in them may be secret. Everything that came with the batch is escaped.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from models.records import BatchReport, Flagged, Rejected

MOST_ROWS = 500

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #dde2e9; --back: #f6f7f9; --card: #fff;
  --good: #1a7f4b; --warn: #a15c00; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --line: #323a46; --back: #14181e;
  --card: #1c2129; --good: #58c48c; --warn: #e3a44f; --bad: #f2857d } }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif }
main { max-width: 68rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem }
h1 { font-size: 1.7rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem } p { margin: .4rem 0 }
.soft { color: var(--soft) } .good { color: var(--good) } .warn { color: var(--warn) } .bad { color: var(--bad) }
.verdict { font-weight: 600; margin-top: .5rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin-top: 1.5rem }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem }
.tile b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .5rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem; border-top: 1px solid var(--line) }
thead th { border-top: 0; color: var(--soft); font-weight: 600; font-size: .85rem; white-space: nowrap }
td.number { text-align: right; font-variant-numeric: tabular-nums } th.number { text-align: right }
td.mark { white-space: nowrap; font-weight: 600 } td.id { overflow-wrap: anywhere; min-width: 8rem }
code { font: .85em ui-monospace, "SFMono-Regular", Menlo, monospace; color: var(--soft) }
"""


@dataclass(frozen=True)
class Outcome:
    """What one expectation found: `rows` are the positions in the batch (from 0) of those that break it."""

    expectation: str
    description: str
    warns_only: bool
    success: bool
    rows: tuple[int, ...]


def page(report: BatchReport, outcomes: Iterable[Outcome], lines: list[int]) -> str:
    """The whole page. `lines[row]` is the number of the line in the raw file."""
    batch = escape(report.batch)
    body = [
        f"<h1>Batch {batch}</h1>",
        _verdict(report),
        '<div class="tiles">',
        _tile(report.rows, "lines came in"),
        _tile(report.accepted, "accepted", "good"),
        _tile(report.flagged, "accepted with a flag", "warn" if report.flagged else ""),
        _tile(len(report.rejected), "in quarantine", "bad" if report.rejected else ""),
        "</div>",
        "<h2>What was expected</h2>",
        _table(("", "Expectation", "Rows#", "Lines"), [_expected(outcome, lines) for outcome in outcomes]),
        "<h2>In quarantine</h2>",
        _named(report.rejected, f"The lines themselves lie in data/quarantine/{batch}.jsonl.", "Nothing."),
        "<h2>Accepted with a flag</h2>",
        _named(report.flags, "The policy (params.yaml, validate.personal_data) lets these pass.", "Nothing."),
        '<p class="soft" style="margin-top:2.5rem">Checked with Great Expectations.</p>',
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>Batch {batch}</title>'
        f"<style>{STYLE}</style></head><body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def _verdict(report: BatchReport) -> str:
    if report.rejected_whole:
        return f'<p class="verdict bad">✗ Rejected whole: {escape(report.rejected_whole)}</p>'
    if report.rejected:
        return f'<p class="verdict warn">{report.accepted} of {report.rows} lines go on to be learnt.</p>'
    return '<p class="verdict good">✓ Every line goes on to be learnt.</p>'


def _tile(number: int, label: str, tone: str = "") -> str:
    return f'<div class="tile"><b class="{tone}">{number}</b><span class="soft">{label}</span></div>'


def _expected(outcome: Outcome, lines: list[int]) -> str:
    tone, mark = (
        ("good", "✓ met") if outcome.success else ("warn", "! flag") if outcome.warns_only else ("bad", "✗ not met")
    )
    at = ", ".join(str(lines[row]) for row in outcome.rows[:20]) + (", …" if len(outcome.rows) > 20 else "")
    return (
        f'<tr><td class="mark {tone}">{mark}</td>'
        f"<td>{escape(outcome.description)}<br><code>{escape(outcome.expectation)}</code></td>"
        f'<td class="number">{len(outcome.rows) or ""}</td><td>{at}</td></tr>'
    )


def _named(rows: tuple[Rejected, ...] | tuple[Flagged, ...], note: str, otherwise: str) -> str:
    if not rows:
        return f'<p class="soft">{otherwise}</p>'
    found = [
        f'<tr><td class="number">{row.line}</td><td class="id">{escape((row.id or "—")[:120])}</td>'
        f"<td>{escape(row.reason)}<br><code>{escape(row.expectation)}</code></td></tr>"
        for row in rows[:MOST_ROWS]
    ]
    more = f" The first {MOST_ROWS} of {len(rows)} are shown." if len(rows) > MOST_ROWS else ""
    return _table(("Line#", "Id", "Why"), found) + f'<p class="soft">{note}{more}</p>'


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    """A head that ends in # stands over numbers."""
    cells = "".join(
        f'<th class="number">{head[:-1]}</th>' if head.endswith("#") else f"<th>{head}</th>" for head in heads
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )
