"""What kind of thing each row of Sensitivity is: price, contract, workload, engine or finance.

Prices and contract terms are what a buyer negotiates; the rest is measured, forecast or given.
"""

from __future__ import annotations

KINDS = ("price", "contract", "workload", "engine", "finance")
_INPUTS: dict[str, tuple[str, ...]] = {
    "price": ("in_PriceFactor", "in_ServerShare", "in_NetworkShare"),
    "contract": (
        "in_EnergyEscalator",
        "in_CostEscalator",
        "in_CloudDecline",
        "in_TakeOrPay",
        "in_ReservedUpfront",
        "in_LoanRate",
        "in_LeaseRate",
        "in_LeaseResidual",
    ),
    "workload": (
        "in_TokensPerDay",
        "in_RampMonths",
        "in_DemandGrowth",
        "in_Utilisation",
        "in_Goodput",
        "in_SpareServers",
        "in_RunsPerYear",
        "in_DeadlineDays",
        "in_MeteredFill",
        "in_SpotRework",
        "in_WUE",
    ),
    "engine": ("in_PerfGain", "in_Efficiency"),
}
# lines that nobody can bargain about, although they are paid as a price or a share
_GIVEN = {
    "Sales tax and duties that are not recovered": "finance",
    "Property tax": "finance",
    "Carbon price": "finance",
    "Operations staff": "workload",
    "Spare parts": "workload",
    "Project management and contingency": "workload",
    "Goodput lost to failures of rented capacity": "workload",
    "Data out of the provider": "price",
    "Decommissioning and data wipe": "workload",
    "Security, compliance and training of people": "workload",
    "Debugging and parallel run": "workload",
}
# regimes of Reg_Calibration that stand behind the engine's bar
BANDS_SHOWN = ("throughput-fixed-batch", "throughput-max-load", "training-step")
# inputs with a spread that have no bar, and why
NO_EFFECT = {
    "in_BookLife": "It moves the profit and loss, and none of the six figures: tax follows its own schedule.",
    "in_Efficiency": "It changes what the engine computes, which no native formula repeats; the engine's own error "
    "has a bar.",
}


def kind_of_input(name: str) -> str:
    """Kind of an input; what is not listed is finance."""
    return next((kind for kind, names in _INPUTS.items() if name in names), "finance")


def kind_of_line(item: str, unit: str, group: str) -> str:
    """Kind of a cost line: a share is a term of a contract, an amount is a price."""
    if item in _GIVEN:
        return _GIVEN[item]
    return "contract" if unit.startswith("share") else "price"
