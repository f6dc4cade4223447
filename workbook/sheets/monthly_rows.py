"""The lines of an option's block on Monthly, as formulas.

In a formula {name} is the driver or total of a row of the same option, {name@} its cell of the same month, {name#} all
its months; {option:x} is a column of the Options table, {engine:x} a row of Engine, {time:x} a row of the timeline.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..style import CENTS, FINE, MONEY, SHARE, WHOLE

CAPITAL, RUNNING, CLOUD = "capital", "running", "cloud"  # groups of cost lines
# rows whose whole amount is deductible for tax in its year
DEDUCTIBLE = ("reserved_bill", "reserved_upfront", "reserved_end", "rest_bill", "electricity", "running", "cloud")
# flows of loans and leases, which are discounted at the cost of debt
FINANCING = ("lessor", "loan_in", "loan_out", "loan_end", "rent", "rent_end", "buyout")
# outputs, whose value after tax is what a deductible price per unit would bring
OUTPUTS = ("serve_h", "train_h", "need", "hours", "own_h", "served", "done_h", "trained_h")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a block: driver (one value), month (across time) or line (a cost line across time)."""

    name: str
    label: str
    unit: str
    kind: str
    formula: str
    number_format: str
    total: bool = False
    sign: str = ""  # cost or income: what the values must be
    summed: bool = True

    @property
    def valued(self) -> bool:
        """Whether its present value is shown."""
        return self.kind != "driver" and self.unit in ("USD", "h", "million", "t") and self.summed


def _driver(name: str, label: str, unit: str, formula: str, fmt: str = FINE) -> Row:
    return Row(name, label, unit, "driver", formula, fmt)


def _month(
    name: str, label: str, unit: str, formula: str, fmt: str = MONEY, *, sign: str = "", total: bool = False,
    summed: bool = True,
) -> Row:  # fmt: skip
    return Row(name, label, unit, "month", formula, fmt, total, sign, summed)


def _flag(name: str, label: str, *words: str) -> Row:
    tests = ",".join(f'{{option:financing}}="{w}"' for w in words)
    test = f"OR({tests})" if len(words) > 1 else tests
    return _driver(name, label, "flag", f"IF({test},1,0)", WHOLE)


def _own_or(name: str, otherwise: str) -> str:
    return f'IF({{option:{name}}}<>"",{{option:{name}}},{otherwise})'


DRIVERS: tuple[Row, ...] = (
    _flag("fleet", "Has a fleet", "own", "buy", "loan", "lease", "reserved"),
    _flag("owned", "Runs its own equipment", "own", "buy", "loan", "lease"),
    _flag("new", "Equipment is bought for it", "buy", "loan", "lease"),
    _flag("keeps", "Keeps the fleet owned today", "own"),
    _flag("loan", "Paid with a loan", "loan"),
    _flag("lease", "Leased", "lease"),
    _flag("reserved", "Reserved at a provider", "reserved"),
    _flag("api", "Paid per token", "API"),
    _driver(
        "rest", "Rest served by: 0 none, 1 on demand, 2 spot, 3 tokens", "code",
        "MATCH(IF({fleet}=1,{option:overflow},{option:financing}),list_rest,0)-1", WHOLE,
    ),
    _driver("rented", "Rents from a provider", "flag", "IF(OR({reserved}=1,{rest}=1,{rest}=2),1,0)", WHOLE),
    _driver("start", "Start month", "month", "{option:start}", WHOLE),
    _driver("term", "Term", "months", "{option:term}", WHOLE),
    _driver("refresh", "Refresh month, 0: none", "month", _own_or("refresh", "0"), WHOLE),
    _driver("ramp", "Ramp of the load", "months", _own_or("ramp", "in_RampMonths"), WHOLE),
    _driver("growth", "Growth of the load", "share per year", _own_or("growth", "in_DemandGrowth"), SHARE),
    _driver("price_index", "Price of new servers at the start month", "factor", "(1-in_PriceDecline)^({start}/12)"),
    _driver(
        "refresh_index", "Price of new servers at the refresh", "factor", "(1-in_PriceDecline)^({refresh}/12)",
    ),
    _driver("gain", "Performance of new servers at the start month", "factor", "(1+in_PerfGain)^({start}/12)"),
    _driver(
        "refresh_gain", "Performance after the refresh, to before", "factor",
        "IF({refresh}>0,(1+in_PerfGain)^(({refresh}-{start})/12),1)",
    ),
    _driver("mid_start", "Equipment of a later start month is paid in its middle, and so is what finances it", "factor",
            "(1+in_DiscountNominal)^(in_Middle*MIN({start},1)/12)"),
    _driver("bridge", "Cost of debt before the start month, before tax", "factor",
            "((1+in_DebtBefore)/(1+in_DiscountNominal))^({start}/12)*{mid_start}"),
    _driver("bridge_after", "Cost of debt before the start month, after tax", "factor",
            "((1+in_DebtAfter)/(1+in_DiscountNominal))^({start}/12)*{mid_start}"),
    _driver("rate", "Generated tokens per second and accelerator, busy", "tokens/s", "{engine:per_device}*"
                                                                                     "{gain}", CENTS),
    _driver("run_h", "Accelerator-hours of one training run", "h", "{engine:run_plan}/{gain}", WHOLE),
    _driver("per_server", "Accelerators in a server", "count", "{option:devices_per_server}", WHOLE),
    _driver(
        "needed", "Servers that the load needs, spares included", "servers",
        "IF({fleet}=1,ROUNDUP(MAX(MAX({need#})/({per_server}*in_HoursPerMonth*in_Utilisation*in_Goodput),"
        "in_TrainingOn*{run_h}/(in_DeadlineDays*24*in_Goodput*{per_server})),0)+in_SpareServers,0)", WHOLE,
    ),
    _driver("known", "There are engine figures of it; else its money is 0", "flag", "{engine:known}", WHOLE),
    _driver("busy_kw", "IT power of a server, busy", "kW", "IF(ISTEXT({engine:busy_kw}),0,{engine:busy_kw})"),
    _driver("idle_kw", "IT power of a server, idle", "kW", "IF(ISTEXT({engine:idle_kw}),0,{engine:idle_kw})"),
    _driver(
        "contract_kw", "Contracted power of a server: nameplate, else busy", "kW",
        "IF(ISNUMBER({option:contracted_w}),{option:contracted_w}/1000,{busy_kw})",
    ),
    _driver("pue", "PUE of the site", "factor", "{option:pue}", CENTS),
    _driver("tariff", "Electricity price at the start", "USD/kWh", "{option:tariff}", "0.0000"),
    _driver("intensity", "Carbon intensity of the grid", "g/kWh", "{option:carbon}", WHOLE),
    _driver("price", "Price of one server with its accelerators, today", "USD", "{option:price_used}", WHOLE),
    _driver(
        "metered_h", "Hours paid for an accelerator-hour that works, on demand or spot", "factor",
        "{gain}/(in_MeteredFill*in_Goodput)*IF({rest}=2,1+in_SpotRework,1)",
    ),
    _driver(
        "metered", "Accelerator-hour that works, on demand or spot", "USD/h",
        "{option:rent_metered}*{metered_h}", "0.0000",
    ),
    _driver("token_price", "A million generated tokens with their prompts, bought", "USD", "{option:token_price}",
            "0.0000"),
    _driver("option_no", "Number of the option", "no", "{option:number}", WHOLE),
    # the figures that stand still, in the order of the drivers of cost lines
    _driver("plan", "Driver: the plan", "count", "{known}", WHOLE),
    _driver("servers", "Driver: servers", "servers", "{known}*{option:servers_used}", WHOLE),
    _driver("devices", "Driver: accelerators", "count", "{known}*{option:devices}", WHOLE),
    _driver(
        "hardware", "Driver: servers and network at the price of the start month", "USD",
        "{servers}*{price}*{price_index}*(1+in_NetworkShare)", WHOLE,
    ),
    _driver("commit", "Reserved rent of a month", "USD",
            "{reserved}*{devices}*in_HoursPerMonth*{option:rent_reserved}*(1-in_CloudDecline)^INT({start}/12)", WHOLE),
    _driver("asset", "Equipment that is bought, leased or lent on", "USD", "{capital_sum}", WHOLE),
    _driver("principal", "Loan", "USD", "{loan}*in_LoanShare*{asset}", WHOLE),
    _driver("instalment", "Monthly payment of the loan", "USD",
            "IF({loan}=1,-PMT(in_LoanRate/12,{term},{principal}),0)", WHOLE),
    _driver("balance", "Loan still open at the end", "USD",
            "IF({loan}=1,IF({start}+{term}>in_HorizonMonths,FV(in_LoanRate/12,in_HorizonMonths-{start},{instalment},"
            "-{principal}),0),0)", WHOLE),
    _driver("rent_month", "Monthly rent of the lease, in advance", "USD",
            "IF({lease}=1,-PMT(in_LeaseRate/12,{term},{asset},-in_LeaseResidual*{asset},1),0)", WHOLE),
    _driver(
        "kept", "Equipment is ours at the end", "flag",
        "IF({lease}=1,IF({start}+{term}<in_HorizonMonths,1,0),{owned})", WHOLE,
    ),
    _driver(
        "resale_new", "Resale of new servers at the end, to their price today", "share",
        "IF({option:residual}<>\"\",{option:residual},(1-in_ResidualDecline)^((in_HorizonMonths-MAX({start},{refresh}))"
        "/12))*IF({refresh}>0,{refresh_index},{price_index})", SHARE,
    ),
    _driver(
        "resale_end", "Resale at the end", "USD",
        "IF(AND({keeps}=1,{refresh}=0),in_OldFleetValue*(1-in_ResidualDecline)^(in_HorizonMonths/12),"
        "{kept}*{servers}*{price}*{resale_new})", WHOLE,
    ),
    _driver(
        "resale_refresh", "Resale at the refresh", "USD",
        "IF({refresh}>0,IF({keeps}=1,in_OldFleetValue,{servers}*{price}*{price_index})"
        "*(1-in_ResidualDecline)^(({refresh}-{start}*{new})/12),0)", WHOLE,
    ),
)  # fmt: skip

QUANTITIES: tuple[Row, ...] = (
    _month(
        "demand", "Tokens to be generated", "million",
        "{known}*{time:run}*in_ServingOn*in_TokensPerDay*in_HoursPerMonth/24*IF({ramp}>0,MIN(1,{time:m}/{ramp}),1)*"
        "(1+{growth})"
        "^(MAX({time:m}-1,0)/12)", WHOLE,
    ),
    _month(
        "serve_h", "Accelerator-hours of serving (million tokens where there is no accelerator)", "h",
        "IF({rate}>0,{demand@}*1000000/({rate}*3600),{demand@})", WHOLE,
    ),
    _month("train_h", "Accelerator-hours of training", "h", "{known}*{time:run}*in_TrainingOn*in_RunsPerYear/12*"
                                                            "{run_h}", WHOLE),
    _month("need", "Accelerator-hours that the load needs", "h", "{serve_h@}+{train_h@}", WHOLE, total=True),
    _month("up", "Fleet in service", "flag", "IF(AND({fleet}=1,{time:m}>{start}),{time:run},0)", WHOLE),
    _month("pace", "Pace of the fleet, 1 before a refresh", "factor",
           "IF(AND({refresh}>0,{time:m}>{refresh}),{refresh_gain},1)", FINE, summed=False),
    _month("hours", "Accelerator-hours owned or reserved", "h", "{up@}*{devices}*in_HoursPerMonth", WHOLE),
    _month("cap", "Accelerator-hours that can be filled", "h", "{hours@}*in_Utilisation*in_Goodput*{pace@}", WHOLE),
    _month("own_h", "Accelerator-hours delivered by the fleet", "h", "MIN({need@},{cap@})", WHOLE),
    _month("over_h", "Accelerator-hours left to the rest", "h", "{need@}-{own_h@}", WHOLE),
    _month(
        "served", "Tokens generated", "million",
        "IF({need@}>0,{demand@}*IF({rest}=0,{own_h@}/{need@},1),0)", WHOLE,
    ),
    _month("done_h", "Accelerator-hours delivered in all", "h", "{own_h@}+IF({rest}=0,0,{over_h@})", WHOLE),
    _month("trained_h", "of which of training", "h", "IF({need@}>0,{train_h@}*{done_h@}/{need@},0)", WHOLE),
    _month(
        "fleet_kwh", "Electricity of the fleet, with cooling", "kWh",
        "{pue}*({hours@}/MAX({per_server},1)*{idle_kw}+({busy_kw}-{idle_kw})/MAX({per_server},1)*{own_h@}/{pace@}/"
        "in_Goodput)", WHOLE,
    ),
    _month(
        "rest_kwh", "Electricity of metered accelerators, with cooling", "kWh",
        "IF(OR({rest}=1,{rest}=2),{pue}*{over_h@}*{metered_h}*{busy_kw}/MAX({per_server},1),0)", WHOLE,
    ),
    _month(
        "paid_kwh", "Electricity that is paid: used, or taken or paid", "kWh",
        "{owned}*MAX({fleet_kwh@},in_TakeOrPay*{kw@}*{pue}*in_HoursPerMonth*{up@})", WHOLE,
    ),
)  # fmt: skip

# the figures that move by month, in the order of the drivers of cost lines
MOVING: tuple[Row, ...] = (
    _month("one", "Driver: constant", "count", "{known}", WHOLE, summed=False),
    _month(
        "kw", "Driver: contracted IT power", "kW",
        "{owned}*{servers}*{contract_kw}*IF(AND(in_PowerRamp>0,{time:m}>{start}),MIN(1,({time:m}-{start})/"
        "in_PowerRamp),1)",
        CENTS, summed=False,
    ),
    _month(
        "bill", "Driver: bill of the provider", "USD",
        "{reserved_bill@}+{reserved_upfront@}+IF({rest}=3,0,{rest_bill@})", MONEY, summed=False,
    ),
    _month("tokens", "Driver: tokens generated", "million", "{served@}", WHOLE, summed=False),
    _month("carbon", "Driver: carbon of electricity", "t", "({fleet_kwh@}+{rest_kwh@})*{intensity}/1000000", FINE),
    _month("water", "Driver: water", "m3", "{fleet_kwh@}/{pue}*in_WUE/1000", CENTS),
)  # fmt: skip

TIMED: tuple[Row, ...] = (
    _month("once", "Timing: once, at the start month", "flag", "IF({time:m}={start},{known},0)", FINE),
    _month("monthly", "Timing: every month of service", "flag", "IF({fleet}=1,{up@},{time:run})", FINE),
    _month("yearly", "Timing: a twelfth every month of service", "flag", "{monthly@}/12", FINE),
    _month("end", "Timing: at the end", "flag", "{time:end}", FINE),
    _month("plan_monthly", "Timing: every month of the plan", "flag", "{time:run}", FINE),
    _month("plan_yearly", "Timing: a twelfth every month of the plan", "flag", "{time:run}/12", FINE),
    _month("last", "Timing: every month, the first too", "flag", "IF({time:m}<=in_HorizonMonths,1,0)", FINE),
)


def _cost(name: str, label: str, formula: str, sign: str = "cost") -> Row:
    return _month(name, label, "USD", formula, sign=sign)


COSTS: tuple[Row, ...] = (
    _cost("servers_cost", "Servers with accelerators", "{once@}*{new}*{servers}*{price}*{price_index}"),
    _cost("network", "Scale-out network", "{servers_cost@}*in_NetworkShare"),
    Row(CAPITAL, "", "", "group", "", ""),
    _month("capital_sum", "Equipment and its installation", "USD", "SUM({servers_cost@}:{last:capital@})", total=True,
           sign="cost"),
    _cost("lessor", "Paid by the lessor", "-{lease}*{capital_sum@}", "income"),
    _cost(
        "refresh_cost", "Servers of the refresh",
        "IF(AND({refresh}>0,{time:m}={refresh}),{servers}*{price}*{time:price},0)",
    ),
    _cost("loan_in", "Loan received", "-{once@}*{principal}", "income"),
    _cost("loan_out", "Loan payments",
          "IF(AND({loan}=1,{time:m}>{start},{time:m}<={start}+{term}),{instalment}*{time:run},0)"),
    _cost("loan_end", "Loan repaid at the end", "{end@}*{balance}"),
    _cost("rent", "Rent of the lease",
          "IF(AND({lease}=1,{time:m}>={start},{time:m}<{start}+{term},{time:m}<in_HorizonMonths),{rent_month},0)"),
    _cost("rent_end", "Rents of the lease still due at the end",
          "{end@}*{rent_month}*MAX(0,{start}+{term}-in_HorizonMonths)"),
    _cost("buyout", "Purchase at the end of the lease",
          "IF(AND({lease}=1,{time:m}={start}+{term},{time:m}<in_HorizonMonths),in_LeaseResidual*{asset},0)"),
    _cost("reserved_bill", "Reserved rent",
          "{up@}*IF({time:m}<={start}+{term},{commit}*(1-in_ReservedUpfront),{reserved}*{hours@}*{option:rent_reserved}"
          "*{time:cloud})"),
    _cost("reserved_upfront", "Reserved rent paid upfront", "{once@}*{commit}*{term}*in_ReservedUpfront"),
    _cost("reserved_end", "Reserved rent still due at the end",
          "{end@}*{commit}*(1-in_ReservedUpfront)*MAX(0,{start}+{term}-in_HorizonMonths)"),
    _cost("rest_bill", "Metered hours and tokens",
          "IF({over_h@}>0,IF({rest}=3,{demand@}*{over_h@}/{need@}*{token_price},{over_h@}*{metered}*IF({rest}=0,0,"
          "1)),0)"
          "*{time:cloud}"),
    _cost("electricity", "Electricity", "{paid_kwh@}*{tariff}*{time:energy}"),
    Row(RUNNING, "", "", "group", "", ""),
    Row(CLOUD, "", "", "group", "", ""),
    _cost("resale", "Resale of servers",
          "-{end@}*{resale_end}-IF(AND({refresh}>0,{time:m}={refresh}),{resale_refresh},0)", "income"),
    _cost("old_sale", "Sale of the fleet owned today",
          "-IF({time:m}=0,(1-{keeps})*in_OldFleetValue,0)", "income"),
    _month("cash", "Net cash cost before tax", "USD", "{capital_sum@}+SUM({lessor@}:{old_sale@})", total=True),
    _month("tax", "Tax relief (negative) or tax, at the end of its year", "USD",
           "IF(AND({time:m}>0,MOD({time:m},12)=0),INDEX({tax:},{time:m}/12)/in_FX,0)"),
    _month("after", "Net cash cost after tax", "USD", "{cash@}+{tax@}", total=True),
    _month("cumulative", "Net cash cost after tax so far", "USD", "SUM({first:after}:{after@})", summed=False),
    _month("financing", "of which loans and leases", "USD", "SUM({lessor@}:{buyout@})-{refresh_cost@}"),
    _month("tax_financing", "Tax relief of interest and rents", "USD",
           "IF(AND({time:m}>0,MOD({time:m},12)=0),INDEX({tax_financing:},{time:m}/12)/in_FX,0)"),
    _month("running_sum", "of which running lines", "USD", "SUM({top:running@}:{last:running@})"),
    _month("cloud_sum", "of which lines of the provider", "USD", "SUM({top:cloud@}:{last:cloud@})"),
    _month("interest", "of which interest of the loan", "USD",
           "IF({loan_out@}>0,-IPMT(in_LoanRate/12,{time:m}-{start},{term},{principal}),0)"),
    _month("lease_interest", "of which interest inside the rents", "USD",
           "IF(AND({lease}=1,{time:m}>{start},{time:m}<={start}+{term}),-{time:run}*in_LeaseRate/(12+in_LeaseRate)"
           "*FV(in_LeaseRate/12,{time:m}-{start},-{rent_month},{asset},1),0)"),
)  # fmt: skip
