"""The runnable example of every function."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path


@cache
def examples() -> dict[str, str]:
    """Excel name -> a formula that works in an empty sheet."""
    return tomllib.loads(Path(__file__).with_name("examples.toml").read_text("utf-8"))
