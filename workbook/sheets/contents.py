"""What each sheet holds, in a line: the index on Decision."""

from __future__ import annotations

from collections.abc import Sequence

CONTENTS: dict[str, str] = {
    "Inputs": "every figure that the plan starts from, with low, base, high, source and date",
    "Options": "what is compared: device, number, how it is paid, site, dates",
    "Engine": "throughput, times, memory and power: live, frozen, and the ones used",
    "Money": "cash by year, depreciation and tax, profit and loss, results",
    "Compare": "one option against another; where the answer flips",
    "Sensitivity": "what moves the cost most; ranges; the cost of certainty",
    "RFQ": "vendors' quotes brought to one unit",
    "Checks": "what must hold before anybody signs",
    "Lines": "cost lines: price, quantity, driver, months, escalator",
    "Cases": "the cases behind Sensitivity, worked out natively",
    "Monthly": "money month by month, the same block for every option",
    "Chart_Data": "what the charts draw",
    "Engine_Live": "the only cells with =MLS_ functions",
    "Engine_Frozen": "engine figures as values, for readers without the add-in",
    "Carbon": "carbon and water by option and grid",
    "Accuracy": "how far predictions lie from published measurements",
    "Walls": "limits of the hardware and what each leaves",
    "Sweep": "every combination of the axes you choose: best, front and chart",
    "Physics": "the equations in native formulas beside the engine",
    "Examples": "published cases, worked through the same functions",
    "Prices": "dated prices with their sources",
    "Reg_Hardware": "accelerators and processors",
    "Reg_Models": "neural networks by shape",
    "Reg_Systems": "servers, fleets, fabrics, number formats",
    "Reg_Infra": "sites and grids",
    "Reg_Finance": "exchange rates, tax schedules",
    "Reg_Calibration": "what kernels reach, and ranges by regime",
    "Reg_Sources": "every fact with its source",
    "Functions": "the functions and their arguments",
    "ChangeLog": "who changed what, and why",
    "Guide": "how to use this workbook, on one page",
}


def contents(sheets: Sequence[str]) -> list[tuple[str, str]]:
    """The sheets that a book has, Decision left out, with their lines, in the order given."""
    return [(name, CONTENTS[name]) for name in sheets if name != "Decision"]
