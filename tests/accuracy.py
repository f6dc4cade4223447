"""How wrong the model is: published measurements against predictions.

    python tests/accuracy.py FILE [--json]

FILE holds rows as in ``tests/data/measured.json`` (an object with ``rows``, or the bare list).  Rows that only give
context (``judge`` false) and rows that are arithmetic of their own source (``circular``) are counted, not judged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_mapping import Prediction, Skip
from accuracy_other import ARITHMETIC, MAPPING

from mlsysim.errors import MlsysError


@dataclass
class Tally:
    """What became of the rows of one subcategory."""

    category: str
    judged: list[tuple[dict[str, Any], Prediction]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    context: int = 0
    circular: int = 0

    def errors(self) -> dict[str, list[float]]:
        """Absolute error [%] of each judged row, by source."""
        out: dict[str, list[float]] = defaultdict(list)
        for row, p in self.judged:
            out[str(row.get("group"))].append(100 * abs(p.value / row["measured"]["value"] - 1))
        return out

    def summary(self) -> dict[str, Any]:
        """The figures that are printed."""
        by = self.errors()
        pooled = [e for errors in by.values() for e in errors]
        banded = [(r["measured"]["value"], p) for r, p in self.judged if p.low is not None and p.high is not None]
        inside = sum(p.low <= v <= p.high for v, p in banded if p.low is not None and p.high is not None)
        return {
            "category": self.category,
            "n": len(pooled),
            "sources": len(by),
            "skipped": sum(self.skipped.values()),
            "context": self.context,
            "circular": self.circular,
            "median_ape": _round(np.median(pooled)) if pooled else None,
            "macro": _round(np.mean([np.median(e) for e in by.values()])) if pooled else None,
            "p90": _round(np.quantile(pooled, 0.9)) if pooled else None,
            "banded": len(banded),
            "coverage": _round(100 * inside / len(banded)) if banded else None,
            "reasons": dict(self.skipped),
        }


def _round(x: Any) -> float:
    return round(float(x), 3)


def predict(row: dict[str, Any]) -> Prediction:
    """The prediction for a row, or `Skip` with the reason."""
    call = MAPPING.get(row["subcategory"])
    if call is None:
        raise Skip("no public call predicts it")
    value = row["measured"]["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise Skip("the measured value is no positive number")
    try:
        prediction = call(row["inputs"], row["measured"]["metric"])
        if not 0 < float(prediction.value) < float("inf"):
            raise Skip("the answer is no positive number: a fact that it needs is not on record")
        return prediction
    except MlsysError as error:
        raise Skip(str(error)) from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise Skip(f"the row lacks or garbles something: {error}") from None


def tally(rows: Iterable[dict[str, Any]]) -> dict[str, Tally]:
    """Every row predicted, by subcategory."""
    out: dict[str, Tally] = {}
    for row in rows:
        one = out.setdefault(row["subcategory"], Tally(row.get("category", "")))
        if not row.get("judge", True):
            one.context += 1
            continue
        if row.get("circular"):
            one.circular += 1
            continue
        try:
            one.judged.append((row, predict(row)))
        except Skip as why:
            one.skipped[str(why)] += 1
    return out


def report(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The whole table as one object; errors and coverage in percent."""
    tallies = tally(rows)
    banded = [(r["measured"]["value"], p) for t in tallies.values() for r, p in t.judged if p.low is not None]
    inside = sum(p.low <= v <= p.high for v, p in banded if p.low is not None and p.high is not None)
    return {
        "subcategories": {n: t.summary() | {"arithmetic": n in ARITHMETIC} for n, t in tallies.items()},
        "coverage": _round(100 * inside / len(banded)) if banded else None,
        "banded": len(banded),
    }


def read(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a file, with or without the wrapper."""
    data = json.loads(Path(path).read_text("utf-8"))
    return list(data["rows"] if isinstance(data, dict) else data)


def show(table: dict[str, Any]) -> str:
    """The table as text."""
    head = (
        f"{'subcategory':26}{'n':>4}{'src':>5}{'skip':>6}{'median %':>10}{'by source':>11}{'p90':>8}{'in band %':>11}"
    )
    lines = [head, "-" * len(head)]
    for name, s in sorted(table["subcategories"].items(), key=lambda x: (x[1]["category"], x[0])):
        cells = [f"{v:.1f}" if v is not None else "-" for v in (s["median_ape"], s["macro"], s["p90"], s["coverage"])]
        lines.append(
            f"{name + (' =' if s['arithmetic'] else ''):26}{s['n']:>4}{s['sources']:>5}{s['skipped']:>6}"
            f"{cells[0]:>10}{cells[1]:>11}{cells[2]:>8}{cells[3]:>11}"
        )
        lines += [f"{'':26}  skipped {count}: {why}" for why, count in s["reasons"].items()]
    lines.append("= the rows' answer follows from their own inputs: sound arithmetic, not a good model")
    return "\n".join([*lines, f"all rows with a band: {table['coverage']} % of {table['banded']} inside"])


def main(arguments: Sequence[str]) -> int:
    """Print the table of one file."""
    parser = argparse.ArgumentParser(description="Errors of the model against published measurements")
    parser.add_argument("file", help="rows of measurements, such as tests/data/measured.json")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--rows", action="store_true", help="also print every judged row: predicted / measured")
    given = parser.parse_args(arguments)
    rows = read(given.file)
    table = report(rows)
    print(json.dumps(table, indent=1) if given.json else show(table))
    if given.rows:
        for one in tally(rows).values():
            for row, p in one.judged:
                print(f"{p.value / row['measured']['value']:8.3f}  {p.status:14} {row['id']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
