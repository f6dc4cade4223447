"""Remake the pictures of the README: ``.venv/bin/python .readme/pictures.py``.

Builds the default workbook, prints it with LibreOffice, and keeps the first page of every front sheet and of Sweep,
cropped, as a small PNG beside this file.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from udfs.libreoffice import render
from workbook.build import FRONT, build

FOLDER = Path(__file__).parent
SHEETS = (*FRONT, "Sweep")
WIDTH = 1100  # pixels of a page
HEAD = 0.07  # share of a page that its head or its foot takes
Pixels = npt.NDArray[np.uint8]


def first_pages(pdf: Path) -> dict[str, int]:
    """The first page of every sheet: its name stands alone in a line, the head of the page."""
    text = subprocess.run(["pdftotext", "-layout", str(pdf), "-"], check=True, capture_output=True, text=True).stdout
    pages: dict[str, int] = {}
    for number, page in enumerate(text.split("\f"), start=1):
        head = page.lstrip().split("\n")[0].split()
        if head:
            pages.setdefault(head[-1], number)
    return pages


def crop(picture: Pixels, margin: int = 12) -> Pixels:
    """The picture without its white border."""
    inked = np.any(picture < 250, axis=2)
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    return picture[top : rows[-1] + margin, left : columns[-1] + margin]


def read_ppm(data: bytes) -> Pixels:
    """A binary PPM as rows x columns x 3."""
    magic, size, depth, pixels = data.split(b"\n", 3)
    assert (magic, depth) == (b"P6", b"255")
    width, height = map(int, size.split())
    return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)


def png(picture: Pixels) -> bytes:
    """A PNG of at most 256 colours: a sheet has few."""
    shades = (picture.astype(np.uint16) * 15 + 127) // 255
    codes = (shades[..., 0] << 8 | shades[..., 1] << 4 | shades[..., 2]).astype(np.uint16)
    found, counts = np.unique(codes, return_counts=True)
    palette = found[np.argsort(counts)[::-1][:256]]
    colours = np.stack([palette >> 8, palette >> 4 & 15, palette & 15], axis=1).astype(np.int32) * 17
    table = {int(code): i for i, code in enumerate(palette)}
    for code in found:
        if int(code) not in table:
            colour = np.array([code >> 8, code >> 4 & 15, code & 15], np.int32) * 17
            table[int(code)] = int(((colours - colour) ** 2).sum(axis=1).argmin())
    lookup = np.zeros(4096, np.uint8)
    for code, index in table.items():
        lookup[code] = index
    rows = lookup[codes]
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], 8, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"PLTE", colours.astype(np.uint8).tobytes())
        + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")
    )  # fmt: skip


def remake(names: tuple[str, ...] = SHEETS) -> None:
    """Write one picture for each of these sheets."""
    with tempfile.TemporaryDirectory() as folder:
        book = Path(folder) / "PLAN.xlsx"
        build(book)
        pdf = render(book, Path(folder) / "pdf")
        pages = first_pages(pdf)
        for name in names:
            page = str(pages[name])
            command = ["pdftoppm", "-f", page, "-l", page, "-scale-to-x", str(WIDTH), "-scale-to-y", "-1", str(pdf)]
            picture = read_ppm(subprocess.run(command, check=True, capture_output=True).stdout)
            out = FOLDER / f"{name.lower()}.png"
            out.write_bytes(png(crop(picture[int(HEAD * len(picture)) : -int(HEAD * len(picture))])))
            print(f"{out} {out.stat().st_size // 1024} kB")


if __name__ == "__main__":
    remake(tuple(sys.argv[1:]) or SHEETS)
