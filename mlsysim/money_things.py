"""The kinds of thing that only money needs: currencies and tax schedules; and the words that prices use.

`things` re-exports the registries, so that all of them are found in one place.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import OutOfDomain
from .registry import Registry, Thing
from .units import Quantity, Share

# what the amount of a price is for; an item has at most one row of each, and siblings with a suffix: on_demand_aws
BASES = ("purchase", "server", "on_demand", "reserved_1y", "reserved_3y", "spot", "api_input", "api_output")
PRICE_CLASSES = {"spot": ("spot",), "cloud": ("on_demand", "reserved", "api"), "purchase": ("purchase", "server")}


def price_class(basis: str) -> str:
    """How fast prices of a basis age: spot, cloud, purchase or other."""
    return next((c for c, words in PRICE_CLASSES.items() if basis.startswith(words)), "other")


@dataclass(frozen=True, kw_only=True)
class Currency(Thing):
    """A currency at the reference rate of one day."""

    per_usd: Quantity  # units of it for one US dollar


@dataclass(frozen=True, kw_only=True)
class TaxSchedule(Thing):
    """Depreciation for tax: the share of the cost that each tax year deducts."""

    year_1: Share
    year_2: Share
    year_3: Share
    year_4: Share
    year_5: Share
    year_6: Share
    year_7: Share
    year_8: Share

    def __post_init__(self) -> None:
        """Refuse shares that deduct more or less than the cost."""
        if abs(sum(self.shares) - 1) > 1e-4:
            raise OutOfDomain(f"{self.key}: year_1 to year_8 must add up to 1, got {sum(self.shares):g}")

    @property
    def shares(self) -> tuple[float, ...]:
        """The eight shares in order."""
        return tuple(float(getattr(self, f"year_{n}")) for n in range(1, 9))


CURRENCIES = Registry("currencies", Currency, "currencies.toml")
TAX_SCHEDULES = Registry("tax", TaxSchedule, "tax.toml")
