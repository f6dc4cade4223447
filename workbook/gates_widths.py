"""How wide a value is on paper: numbers as their format shows them, texts in Calibri, in pixels at 96 dots an inch.

Estimates, meant to be off by a few per cent. Widths of Calibri 11 as published with the module cpytoxlsf (measured in
Excel, whole pixels); other sizes in proportion.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from workbook.gates_book import Look

UNIT = 7  # pixels of a digit, in which columns are measured
PADDING = 3  # pixels of a column that stay empty
INDENT = 9  # pixels of one step
LINE = 1.22  # height of a line over the font's size
_BOLD = 1.06
# Whole pixels are the next above: a run of letters is a little narrower than their sum.
_ROUNDED = 0.96
_PIXELS = {
    letter: width
    for width, letters in (
        (3, " '"),
        (4, "ijlI,.:;`"),
        (5, "frtJ!()-[]{}"),
        (6, 'cszL"/\\'),
        (7, "0123456789agkvxyEFSTYZ#$*+<=>?^_|~"),
        (8, "bdehnopquBCKPRX"),
        (9, "ADGHUV"),
        (10, "NOQ&"),
        (11, "w%"),
        (12, "mM"),
        (13, "W@"),
    )
    for letter in letters
}
_SECTIONS = re.compile(r';(?=(?:[^"]*"[^"]*")*[^"]*$)')
_MARKS = re.compile(r'"([^"]*)"|\\(.)|_(.)|\*(.)|\[[^\]]*\]')
_DATE = re.compile(r"[ymdhs]", re.IGNORECASE)
_DIGITS = re.compile(r"[#0?,]*[#0?](?:[#0?,]*\.[#0?]*)?,*(?:E[+-]0+)?|\.[#0?]+", re.IGNORECASE)


def text_width(text: str, look: Look) -> float:
    """The width of a line of text in pixels."""
    wide = sum(_PIXELS.get(c, 8 if c < "\u2e80" else 15) for c in text) * _ROUNDED
    return wide * look.size / 11 * (_BOLD if look.bold else 1)


def number_width(value: float, look: Look) -> float:
    """The width of a number in pixels; 0 when it adapts to its column."""
    shown = shown_number(value, look.number_format)
    if not shown:
        return 0.0
    digits = sum(c.isdigit() for c in shown)
    rest = "".join(c for c in shown if not c.isdigit())
    return digits * UNIT * look.size / 11 * (_BOLD if look.bold else 1) + text_width(rest, look)


def lines(text: str, look: Look, room: float) -> int:
    """How many lines a wrapped text takes in `room` pixels."""
    count = 0
    for part in text.split("\n"):
        used, count = 0.0, count + 1
        for word in part.split(" "):
            wide = text_width(word, look)
            space = text_width(" ", look) if used else 0.0
            if used and used + space + wide > room:
                count, used, space = count + 1, 0.0, 0.0
            extra = int(wide // room) if room > 0 and wide > room else 0
            count, used = count + extra, used + space + wide - extra * room
    return count


def is_date_format(number_format: str) -> bool:
    """Whether a format shows a date or a time."""
    bare = re.sub(r"General", "", _MARKS.sub("", number_format), flags=re.IGNORECASE)
    return _DATE.search(bare) is not None


def shown_number(value: float, number_format: str) -> str:
    """What a number format makes of a number; "" for General, which fits itself, and for what is not known here."""
    if number_format in {"General", "@", ""} or "[<" in number_format or "[>" in number_format:
        return ""
    if is_date_format(number_format):
        return _shown_date(value, number_format)
    sections = _SECTIONS.split(number_format)
    if value < 0 and len(sections) > 1:
        section, value = sections[1], -value
    elif value == 0 and len(sections) > 2:
        section = sections[2]
    else:
        section = sections[0]
    literals: list[str] = []

    def keep(match: re.Match[str]) -> str:
        text = match[1] if match[1] is not None else match[2] or (" " if match[3] else "")
        literals.append(text)
        return f"\x00{len(literals) - 1}\x00"

    # Literals hide behind marks, so that a "0" or "." among them is no place for a digit.
    plain = _MARKS.sub(keep, section)
    masked = re.sub(r"\x00(\d+)\x00", lambda m: chr(0xE000 + int(m[1])), plain)
    found = _DIGITS.search(masked)
    shown = masked
    if found is not None:
        number = _digits(value * 100 ** masked.count("%"), found[0])
        shown = masked[: found.start()] + number + masked[found.end() :]
    sign = "-" if value < 0 else ""
    return sign + "".join(literals[ord(c) - 0xE000] if 0xE000 <= ord(c) < 0xE000 + len(literals) else c for c in shown)


def _digits(value: float, pattern: str) -> str:
    if "E" in pattern.upper():
        mantissa = pattern.upper().partition("E")[0].partition(".")[2]
        return f"{abs(value):.{len(mantissa)}E}"
    scaled = pattern.rstrip(",")
    number = Decimal(repr(abs(value))) / (1000 ** (len(pattern) - len(scaled)))
    whole, _, decimals = scaled.partition(".")
    rounded = number.quantize(Decimal(1).scaleb(-len(decimals)), ROUND_HALF_UP) if number < Decimal("1e20") else number
    left, _, right = f"{rounded:f}".partition(".")
    while right and len(right) > decimals.count("0") and right.endswith("0"):
        right = right[:-1]
    left = left.lstrip("0").rjust(whole.count("0"), "0")
    if "," in whole:
        left = f"{int(left):,}" if left else ""
    return left + ("." + right if "." in scaled else "")


def _shown_date(value: float, number_format: str) -> str:
    if not 0 <= value < 2_958_466:
        return ""
    day = datetime(1899, 12, 30) + timedelta(days=value)
    month, weekday = day.strftime("%B"), day.strftime("%A")
    # Every run of a letter is a word: mmm the month's short name, mm two digits of month or minute.
    words = {"mmmm": month, "mmm": month[:3], "dddd": weekday, "ddd": weekday[:3], "yyyy": "0000"}
    text = _MARKS.sub(lambda m: m[1] or m[2] or "", number_format.partition(";")[0])
    return re.sub(r"([ymdhs])\1*", lambda m: words.get(m[0].lower(), "00"), text, flags=re.IGNORECASE)
