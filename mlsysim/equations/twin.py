"""Native twins: the Excel formula of an equation that is no single expression, written beside it and tested equal."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def twin(formula: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Declare the Excel formula of an equation.

    Parameters
    ----------
    formula : str
        One call such as ``IF(...)``, without "=", in functions of the whitelist.  ``{name}`` is a parameter in its
        face unit, and the answer is in the face unit of the result.  It answers ``NA()`` where the equation refuses a
        combination of arguments; the legal range of each single one is tested around it.
    """

    def declare(fn: Callable[P, R]) -> Callable[P, R]:
        fn.native = formula  # type: ignore[attr-defined]
        return fn

    return declare
