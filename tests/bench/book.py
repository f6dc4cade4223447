"""A workbook of 100,000 formula rows, by our writer or by a bare openpyxl loop over the same cells.

    python tests/bench/book.py ours | bare

Prints CPU seconds, imports included, and the peak of memory [MiB] as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path

BATCHES, LENGTHS = 10, range(16, 40_001, 16)  # with two devices and two formats 100,000, nearly all of them feasible
DEVICES, FORMATS = ("H100", "A100"), ("fp16", "w8a16")
FORMULAS = (
    '=IF(L{r}="ok",IF(ISNUMBER(E{r}),IF(E{r}<$D$12,"decode_throughput too low",IF(E{r}>$E$12,"decode_throughput too '
    'high",IF(ISNUMBER(F{r}),IF(F{r}<$D$13,"itl too low",IF(F{r}>$E$13,"itl too high",IF(ISNUMBER(G{r}),IF(G{r}<$D$14,'
    '"ttft too low",IF(G{r}>$E$14,"ttft too high",IF(ISNUMBER(H{r}),IF(H{r}<$D$15,"total_memory_required too low",'
    'IF(H{r}>$E$15,"total_memory_required too high","meets")),"total_memory_required unknown"))),"ttft unknown"))),'
    '"itl unknown"))),"decode_throughput unknown"),IF(L{r}="not feasible",L{r},"refused"))',
    '=IF(I{r}="meets",E{r},"-")',
    '=IF(I{r}="meets",IF($B$8>0,E{r}/$B$8,"-"),"-")',
)


def ours(path: Path) -> None:
    """Sweep and write."""
    from workbook.sweep_book import asked_of, write_sweep

    axes = (f"model = Llama3_8B; hardware = {', '.join(DEVICES)}; precision = {', '.join(FORMATS)}; "
            f"batch = 1..{BATCHES}; seq_len = {LENGTHS[0]}..{LENGTHS[-1]} by {LENGTHS.step}")  # fmt: skip
    write_sweep(
        path, asked_of("serving", axes, "max decode_throughput", ["itl", "ttft", "total_memory_required"], ["itl <= 9"])
    )


def bare(path: Path) -> None:
    """The loop: figures are there already, values of formulas are not written."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sweep")
    row = 0
    for device in DEVICES:
        for precision in FORMATS:
            for batch in range(1, BATCHES + 1):
                for length in LENGTHS:
                    row += 1
                    sheet.append([device, precision, float(batch), float(length), 2255.5784595090495 / batch,
                                  14.187048056384231 * batch, 3926.173967811029 * batch, 16.5 + batch,
                                  *(f.format(r=row) for f in FORMULAS), "ok"])  # fmt: skip
    book.save(path)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        {"ours": ours, "bare": bare}[sys.argv[1]](Path(folder) / "BOOK.xlsx")
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"seconds": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss / 1024}))
