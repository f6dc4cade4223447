"""The rows of a case model: one option worked out again for many cases at once, each case a column.

A case model needs no months of its own beyond four lines (load, hours of the fleet, electricity used and paid), because
every sum over time is a SUMPRODUCT.  In a formula {name} is a scalar of the option or the case's own cell of a row,
{p:in_X} an input as the case has it ({p:scale}: the load as a multiple), {q:need} the months of a
line of the case, {w:AT} its discount factors,
{t:m} a row of the timeline of Monthly, {c:once:3} five prices of cost lines, one for each escalator.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..style import CENTS, FINE, MONEY, SHARE, WHOLE

ESCALATIONS = 5  # none, energy, cost, wages, cloud
# drivers of cost lines: the figure that stands still, and what moves by month, in the order of their codes on Lines
DRIVERS = {"plan": ("", "plan"), "servers": ("servers", "one"), "devices": ("devices", "one"),
           "hardware": ("hardware", "one"), "kW": ("", "kw"), "bill": ("", "bill"), "tokens": ("", "tokens"),
           "carbon": ("", "carbon"), "water": ("", "water")}  # fmt: skip
MOVING = ("plan", "one", "kw", "bill", "tokens", "carbon", "water")  # in the order of their sums


@dataclass(frozen=True, slots=True)
class Row:
    """A row: its formula in every case (or, of a scalar or a month line, its one formula)."""

    name: str
    label: str
    unit: str
    formula: str
    number_format: str = FINE


def _r(name: str, label: str, unit: str, formula: str, fmt: str = FINE) -> Row:
    return Row(name, label, unit, formula, fmt)


_UP = "IF(AND({fleet}=1,{m@}>{start}),{run@},0)"
_PACE = "IF(AND({refresh}>0,{m@}>{refresh}),{gain_after},1)"
# lines by month, one for each case that moves quantities
LOADS: tuple[Row, ...] = (
    _r("need", "Accelerator-hours that the load needs", "h",
       "{run@}*({month_tokens}*IF({ramp}>0,MIN(1,{m@}/{ramp}),1)*(1+{growth})^(MAX({m@}-1,0)/12)*{hours_million}+"
       "{train_h})",
       WHOLE),
    _r("own", "Accelerator-hours delivered by the fleet", "h",
       f"MIN({{need@}},{_UP}*{{devices}}*{{month}}*{{p:in_Utilisation}}*{{p:in_Goodput}}*{_PACE})", WHOLE),
    _r("kwh", "Electricity of the fleet", "kWh",
       f"{{pue}}*({_UP}*{{devices}}*{{month}}*{{idle_kw}}+({{busy_kw}}-{{idle_kw}})*{{own@}}/{_PACE}/{{p:in_Goodput}})"
       "/MAX({per_server},1)", WHOLE),
    _r("paid", "Electricity paid", "kWh",
       f"{{owned}}*MAX({{kwh@}},{{p:in_TakeOrPay}}*{{contract}}*{{shape@}}*{{pue}}*{{month}}*{_UP})", WHOLE),
)  # fmt: skip
SHAPE = _r("shape", "Share of the contracted power that is drawn", "share",
           "IF(AND(in_PowerRamp>0,{m@}>{start}),MIN(1,({m@}-{start})/in_PowerRamp),1)")  # fmt: skip
FACTORS: tuple[Row, ...] = (
    _r("DF", "Discount factor", "factor", "1/(1+{rate_year})^(({m@}-in_Middle*{run@})/12)", "0.000000"),
    _r("AT", "Value of a deductible dollar", "factor", "{DF@}-{relief}/(1+{rate_year})^{year@}", "0.000000"),
)

_WINDOW = "({t:m}>{window})*{t:run}"
_TERM = "({t:m}<={start}+{term})"


def _at(what: str, month: str) -> str:
    return f"INDEX({{q:{what}}},{month}+1)"


def _year_of(month: str) -> str:
    return f"MAX(1,ROUNDUP({month}/12,0))"


FIRST: tuple[Row, ...] = (
    _r("rate_year", "Discount rate, nominal", "share per year",
       'IF(ISNUMBER({p:in_DiscountRate}),IF(in_RateBasis="real",(1+{p:in_DiscountRate})*(1+{p:in_Inflation})-1,'
       "{p:in_DiscountRate}),(1-{p:in_DebtShare})*{p:in_CostOfEquity}+{p:in_DebtShare}*{p:in_CostOfDebt}"
       "*(1-{p:in_TaxRate}))", "0.00%"),
    _r("relief", "Tax relief of a deductible dollar", "share", "{p:in_TaxRate}*{p:in_TaxUse}", SHARE),
    _r("debt", "Discount rate of loans and leases, after tax", "share per year",
       'IF(in_FinanceAt="cost of debt",{p:in_CostOfDebt}*(1-{relief}),{rate_year})', "0.00%"),
    _r("bridge", "Cost of debt before the start month, after tax", "factor",
       "((1+{debt})/(1+{rate_year}))^({start}/12)*(1+{rate_year})^(in_Middle*MIN({start},1)/12)", "0.000000"),
    _r("month", "Hours in a month", "h", "in_HoursPerMonth", CENTS),
    _r("window", "Last month before service", "month", "IF({fleet}=1,{start},0)", WHOLE),
    _r("ramp", "Ramp of the load", "months", "IF(ISNUMBER({ramp_own}),{ramp_own},{p:in_RampMonths})", WHOLE),
    _r("growth", "Growth of the load", "share per year", "IF(ISNUMBER({growth_own}),{growth_own},"
                                                         "{p:in_DemandGrowth})", SHARE),
    _r("gain", "Performance at the start month", "factor", "(1+{p:in_PerfGain})^({start}/12)"),
    _r("gain_after", "Performance after the refresh, to before", "factor",
       "IF({refresh}>0,(1+{p:in_PerfGain})^(({refresh}-{start})/12),1)"),
    _r("rate", "Generated tokens per second and accelerator", "tokens/s", "{per_device}*{gain}", CENTS),
    _r("run_h", "Accelerator-hours of one training run", "h", "{run_plan}/{gain}", WHOLE),
    _r("hours_million", "Accelerator-hours of a million tokens", "h", "IF({rate}>0,1000000/({rate}*3600),1)"),
    _r("train_h", "Accelerator-hours of training in a month", "h",
       "{known}*in_TrainingOn*{p:scale}*{p:in_RunsPerYear}/12*{run_h}", WHOLE),
    _r("month_tokens", "Tokens of a full month", "million", "{known}*in_ServingOn*{p:scale}*{p:in_TokensPerDay}*"
                                                            "{month}/24", WHOLE),
    _r("servers", "Servers", "servers",
       "{known}*IF({fleet}=0,0,IF(ISNUMBER({typed}),{typed},ROUNDUP(MAX(MAX({q:need})/({per_server}*{month}"
       "*{p:in_Utilisation}*{p:in_Goodput}),in_TrainingOn*{run_h}/({p:in_DeadlineDays}*24*{p:in_Goodput}*"
       "{per_server})),0)"
       "+{p:in_SpareServers}))", WHOLE),
    _r("devices", "Accelerators", "count", "{servers}*{per_server}", WHOLE),
    _r("contract", "Contracted power", "kW", "{owned}*{servers}*{contract_kw}", CENTS),
    _r("server_price", "Price of a server today", "USD",
       '{price}*IF({basis}="own price",1,{p:in_PriceFactor}/in_PriceFactor*IF({basis}="devices and share",'
       "(1+{p:in_ServerShare})/(1+in_ServerShare),1))", WHOLE),
    _r("index", "Price of new servers at the start month", "factor", "(1-{p:in_PriceDecline})^({start}/12)"),
    _r("index_after", "Price of new servers at the refresh", "factor", "(1-{p:in_PriceDecline})^({refresh}/12)"),
    _r("hardware", "Servers and network", "USD", "{servers}*{server_price}*{index}*(1+{p:in_NetworkShare})", WHOLE),
    _r("over_hours", "Hours paid for an hour left to the rest", "factor",
       "{gain}/({p:in_MeteredFill}*{p:in_Goodput})*IF({rest}=2,1+{p:in_SpotRework},1)"),
    _r("over_price", "An accelerator-hour left to the rest", "USD",
       "IF({rest}=0,0,IF({rest}=3,{token_price}/{hours_million},{rent_metered}*{over_hours}))", "0.0000"),
    _r("over_kw", "Electricity of an accelerator-hour left to the rest", "kWh",
       "IF(OR({rest}=1,{rest}=2),{pue}*{busy_kw}/MAX({per_server},1)*{over_hours},0)"),
    _r("commit", "Reserved rent of a month", "USD",
       "{reserved}*{devices}*{month}*{rent_reserved}*(1-{p:in_CloudDecline})^INT({start}/12)", WHOLE),
    _r("year_start", "Year of the start", "year", _year_of("{start}"), WHOLE),
    _r("year_end", "Year of the end", "year", _year_of("in_HorizonMonths"), WHOLE),
    *(_r(f"grow{e}", f"Escalation a year: {word}", "factor", formula) for e, (word, formula) in enumerate((
        ("none", "1"), ("energy", "1+{p:in_EnergyEscalator}"), ("cost", "1+{p:in_CostEscalator}"),
        ("wages", "1+{p:in_WageEscalator}"), ("rents and tokens", "1-{p:in_CloudDecline}"),
    ), start=1)),
    *(_r(f"begin{e}", f"Escalation at the start, row {e}", "factor", f"{{grow{e}}}^({{year_start}}-1)")
      for e in range(1, ESCALATIONS + 1)),
    *(_r(f"finish{e}", f"Escalation at the end, row {e}", "factor", f"{{grow{e}}}^({{year_end}}-1)")
      for e in range(1, ESCALATIONS + 1)),
    _r("DF_start", "Discount factor of the start month", "factor", "INDEX({w:DF},{start}+1)", "0.000000"),
    _r("AT_start", "Deductible dollar in the start month", "factor", "INDEX({w:AT},{start}+1)", "0.000000"),
    _r("AT_end", "Deductible dollar at the end", "factor", "INDEX({w:AT},in_HorizonMonths+1)", "0.000000"),
)  # fmt: skip


def _moving_at(month: str, tag: str, reserved: str, index: str) -> tuple[Row, ...]:
    """The moving figures at the start or the end."""
    word = "start" if tag == "s" else "end"
    return (
        _r(
            f"over_{tag}",
            f"Hours left to the rest at the {word}",
            "h",
            f"{_at('need', month)}-{_at('own', month)}",
            WHOLE,
        ),
        _r(f"plan_{tag}", f"The plan at the {word}", "count", "{known}", WHOLE),
        _r(f"one_{tag}", f"Constant at the {word}", "count", "{known}", WHOLE),
        _r(f"kw_{tag}", f"Contracted power at the {word}", "kW", f"{{contract}}*INDEX({{shape:}},{month}+1)", CENTS),
        _r(
            f"bill_{tag}",
            f"Bill of the provider at the {word}",
            "USD",
            f"{reserved}+IF({{rest}}=3,0,{{over_price}}*{{over_{tag}}}*{index})",
            WHOLE,
        ),
        _r(
            f"tokens_{tag}",
            f"Tokens at the {word}",
            "million",
            f"IF({_at('need', month)}>0,({_at('need', month)}-{{train_h}})/{{hours_million}}*IF({{rest}}=0,"
            f"{_at('own', month)}"
            f"/{_at('need', month)},1),0)",
            WHOLE,
        ),
        _r(
            f"carbon_{tag}",
            f"Carbon at the {word}",
            "t",
            f"({_at('kwh', month)}+{{over_kw}}*{{over_{tag}}})*{{intensity}}/1000000",
        ),
        _r(f"water_{tag}", f"Water at the {word}", "m3", f"{_at('kwh', month)}/{{pue}}*{{p:in_WUE}}/1000"),
    )


ENDS: tuple[Row, ...] = (
    *_moving_at("{start}", "s", "{commit}*{term}*{p:in_ReservedUpfront}", "{begin5}"),
    *_moving_at("in_HorizonMonths", "h",
                "{reserved}*IF(in_HorizonMonths<={start}+{term},{commit}*(1-{p:in_ReservedUpfront}),{devices}*{month}"
                "*{rent_reserved}*{finish5})", "{finish5}"),
)  # fmt: skip


def _sums() -> tuple[Row, ...]:
    """Present values after tax relief of the moving figures, each with five escalations."""
    grown, paid = "{g}^({t:year}-1)", "({t:m}<=in_HorizonMonths)"
    cloud = "{grow5}^({t:year}-1)"
    over = "({q:need}-{q:own})"
    bill = (
        f"{{reserved}}*({_TERM}*{{commit}}*(1-{{p:in_ReservedUpfront}})+({{t:m}}>{{start}}+{{term}})*{{devices}}*"
        f"{{month}}"
        f"*{{rent_reserved}}*{cloud})*{_WINDOW}+IF({{rest}}=3,0,{{over_price}})*{over}*{cloud}"
    )
    tokens = "({q:need}-{train_h}*{t:run})/{hours_million}"
    whole, part = (f"SUMPRODUCT({tokens}{x},{grown},{{w:AT}})" for x in ("", "*{q:own}/({q:need}+({q:need}=0))"))
    kinds = {
        "kwh": f"SUMPRODUCT({{q:kwh}},{grown},{{w:AT}})",
        "over": f"SUMPRODUCT({over},{grown},{{w:AT}})",
        "plan": f"{{known}}*SUMPRODUCT({grown},{{t:run}},{{w:AT}})",
        "one": f"{{known}}*SUMPRODUCT({grown}*{_WINDOW},{{w:AT}})",
        "kw": f"{{contract}}*SUMPRODUCT({{shape:}},{grown}*{_WINDOW},{{w:AT}})",
        "bill": f"SUMPRODUCT({bill},{grown}*{paid},{{w:AT}})+{{commit}}*{{term}}*{{p:in_ReservedUpfront}}*"
        f"{{begin{{e}}}}*{{AT_start}}",
        "tokens": f"IF({{rest}}=0,{part},{whole})",
        "carbon": "({kwh_AT{e}}+{over_kw}*{over_AT{e}})*{intensity}/1000000",
        "water": "{kwh_AT{e}}/{pue}*{p:in_WUE}/1000",
    }
    return tuple(
        _r(f"{kind}_AT{e}", f"Present value of {kind}, escalation {e}", "sum",
           formula.replace("{g}", f"{{grow{e}}}").replace("{e}", str(e)), WHOLE)
        for kind, formula in kinds.items() for e in range(1, ESCALATIONS + 1)
    )  # fmt: skip


def _lines() -> tuple[Row, ...]:
    """Cost lines by driver: present values, and equipment."""
    out: list[Row] = []
    for d, (driver, (still, moves)) in enumerate(DRIVERS.items(), start=1):
        times = f"{{{still}}}*" if still else ""
        formula = (
            f"{times}(SUMPRODUCT({{c:monthly:{d}}},{{five:{moves}_AT}})+{{{moves}_s}}*{{AT_start}}"
            f"*SUMPRODUCT({{c:once:{d}}},{{five:begin}})+{{{moves}_h}}*{{AT_end}}*SUMPRODUCT({{c:end:{d}}},"
            f"{{five:finish}}))"
        )
        out.append(_r(f"lines{d}", f"Running lines by {driver}, present", "USD", formula, MONEY))
    for d, (driver, (still, moves)) in enumerate(DRIVERS.items(), start=1):
        times = f"{{{still}}}*" if still else ""
        built = f"{times}{{{moves}_s}}*SUMPRODUCT({{c:capital:{d}}},{{five:begin}})"
        out.append(_r(f"built{d}", f"Equipment lines by {driver}", "USD", built, MONEY))
    return tuple(out)


_LOAN = "({t:m}>{start})*({t:m}<={start}+{term})*{t:run}"
_HIRE = "({t:m}>={start})*({t:m}<{start}+{term})*({t:m}<in_HorizonMonths)"
_DEBT, _DEBT_YEAR = "1/(1+{debt})^({t:m}/12)", "1/(1+{debt})^{t:year}"
_TAIL = "MAX(0,{start}+{term}-in_HorizonMonths)"


def _depreciation(first: str, until: str, shares: str) -> str:
    """Present value of what is written off of one dollar: the schedule, the rest in the year of disposal."""
    part = f"{shares}*({{years:}}+{first}-1<{until})"
    return (
        f"SUMPRODUCT({part},1/(1+{{rate_year}})^({{years:}}+{first}-1))+(1-SUMPRODUCT({part},{{years:}}^0))"
        f"/(1+{{rate_year}})^{until}"
    )


LAST: tuple[Row, ...] = (
    _r("asset", "Equipment that is bought, leased or lent on", "USD", "{new}*{hardware}+SUM({built1}:{built9})", MONEY),
    _r("renewed", "Servers of the refresh", "USD", "IF({refresh}>0,{servers}*{server_price}*{index_after},0)", MONEY),
    _r("kept", "Equipment is ours at the end", "flag",
       "IF({lease}=1,IF({start}+{term}<in_HorizonMonths,1,0),{owned})", WHOLE),
    _r("resale", "Resale at the end", "USD",
       "IF(AND({keeps}=1,{refresh}=0),in_OldFleetValue*(1-{p:in_ResidualDecline})^(in_HorizonMonths/12),{kept}*"
       "{servers}"
       "*{server_price}*IF({refresh}>0,{index_after},{index})*IF(ISNUMBER({residual}),{residual},"
       "(1-{p:in_ResidualDecline})^((in_HorizonMonths-MAX({start},{refresh}))/12)))", MONEY),
    _r("resale_early", "Resale at the refresh", "USD",
       "IF({refresh}>0,IF({keeps}=1,in_OldFleetValue,{servers}*{server_price}*{index})*(1-{p:in_ResidualDecline})"
       "^(({refresh}-{start}*{new})/12),0)", MONEY),
    _r("interest", "Interest of the loan in a month", "share", "{p:in_LoanRate}/12", "0.0000%"),
    _r("loan_each", "Payment of a loan of one dollar", "USD", "IF({loan}=1,-PMT({interest},{term},1),0)", "0.000000"),
    _r("rent_each", "Rent of a lease of one dollar", "USD",
       "IF({lease}=1,-PMT({p:in_LeaseRate}/12,{term},1,-{p:in_LeaseResidual},1),0)", "0.000000"),
    _r("open_each", "Loan of one dollar still open at the end", "USD",
       "IF(AND({loan}=1,{start}+{term}>in_HorizonMonths),FV({interest},in_HorizonMonths-{start},{loan_each},-1),0)",
       "0.000000"),
    _r("loan_cash", "Cash of a loan of one dollar, at the cost of debt", "USD",
       f"-1/(1+{{debt}})^({{start}}/12)+{{loan_each}}*SUMPRODUCT({_LOAN},{_DEBT})+{{open_each}}/(1+{{debt}})"
       "^(in_HorizonMonths/12)", "0.000000"),
    _r("loan_interest", "Interest of it at the ends of the years, at the cost of debt", "USD",
       f"SUMPRODUCT({_LOAN},({{interest}}-{{loan_each}})*(1+{{interest}})^({{t:m}}-{{start}}-1)+{{loan_each}},"
       f"{_DEBT_YEAR})",
       "0.000000"),
    _r("lease_cash", "Cash of a lease of one dollar, at the cost of debt", "USD",
       f"-1/(1+{{debt}})^({{start}}/12)+{{rent_each}}*(SUMPRODUCT({_HIRE},{_DEBT})+{_TAIL}/(1+{{debt}})"
       "^(in_HorizonMonths/12))+{buyout}/(1+{debt})^(({start}+{term})/12)", "0.000000"),
    _r("lease_rents", "Rents of it at the ends of the years, at the cost of debt", "USD",
       f"{{rent_each}}*(SUMPRODUCT({_HIRE},{_DEBT_YEAR})+{_TAIL}/(1+{{debt}})^{{year_end}})", "0.000000"),
    _r("buyout", "Purchase after the lease, of one dollar", "USD",
       "IF(AND({lease}=1,{start}+{term}<in_HorizonMonths),{p:in_LeaseResidual},0)", "0.000000"),
    _r("year_sold", "Year in which the first equipment is sold", "year",
       _year_of("IF({refresh}>0,{refresh},in_HorizonMonths)"), WHOLE),
    _r("year_first", "First year of depreciation", "year", "INT({start}/12)+1", WHOLE),
    _r("year_later", "First year of depreciation of what comes later", "year",
       "INT(IF({refresh}>0,{refresh},{start}+{lease}*{term})/12)+1", WHOLE),
    _r("written", "One dollar of equipment written off, present", "USD",
       _depreciation("{year_first}", "{year_sold}", "({keeps}*({years:}<=in_OldFleetLife)/in_OldFleetLife+"
                                                    "(1-{keeps})*{shares:})"),
       "0.000000"),
    _r("written_later", "One dollar of later equipment written off, present", "USD",
       _depreciation("{year_later}", "{year_end}", "{shares:}"), "0.000000"),
    _r("asset_AT", "What one dollar of equipment costs in all, after tax", "USD",
       "{DF_start}+({loan}*in_LoanShare*({loan_cash}-{relief}*{loan_interest})+{lease}*({lease_cash}-{relief}*"
       "{lease_rents}))"
       "*{bridge}-{relief}*IF({keeps}+{lease}>0,({keeps}+{buyout})*{written_later},{written})", "0.000000"),
    _r("asset_first", "The same when it is bought", "USD", "1-{lease}-{loan}*in_LoanShare+{rent_each}", "0.000000"),
    _r("power", "Electricity, present", "USD", "{tariff}*SUMPRODUCT({q:paid},{grow2}^({t:year}-1),{w:AT})", MONEY),
    _r("rest_paid", "Metered hours and tokens, present", "USD",
       "{over_price}*SUMPRODUCT({q:need}-{q:own},{grow5}^({t:year}-1),{w:AT})", MONEY),
    _r("reserved_paid", "Reserved rent, present", "USD",
       f"{{reserved}}*(SUMPRODUCT({_TERM}*{{commit}}*(1-{{p:in_ReservedUpfront}})+({{t:m}}>{{start}}+{{term}})*"
       f"{{devices}}"
       f"*{{month}}*{{rent_reserved}}*{{grow5}}^({{t:year}}-1),{_WINDOW},{{w:AT}})+{{commit}}*({{term}}"
       f"*{{p:in_ReservedUpfront}}*{{AT_start}}+(1-{{p:in_ReservedUpfront}})*{_TAIL}*{{AT_end}}))", MONEY),
    _r("sold", "Resale, present", "USD",
       "-{resale}*{AT_end}-IF({refresh}>0,{resale_early}*INDEX({w:AT},{refresh}+1),0)", MONEY),
    _r("renewed_paid", "Servers of the refresh, present, and their depreciation", "USD",
       "IF({refresh}>0,{renewed}*(INDEX({w:DF},{refresh}+1)-{relief}*{written_later}),0)", MONEY),
    _r("old_net", "Sale of the fleet owned today after its tax, negative", "USD",
       "(1-{keeps})*({relief}*(in_OldFleetValue-in_OldFleetBook)/(1+{rate_year})-in_OldFleetValue)", MONEY),
    _r("old_kept", "Tax relief of the fleet that is kept, negative", "USD", "-{keeps}*{relief}*in_OldFleetBook*"
                                                                            "{written}", MONEY),
    _r("net", "Net present cost after tax, the fleet of today not sold", "USD",
       "{asset}*{asset_AT}+SUM({lines1}:{lines9})+{power}+{rest_paid}+{reserved_paid}+{sold}+{renewed_paid}+"
       "{old_kept}", MONEY),
    _r("pv_need", "Load, present", "h", "SUMPRODUCT({q:need},{w:AT})", WHOLE),
    _r("pv_train", "of it training", "h", "SUMPRODUCT({train_h}*{t:run},{w:AT})", WHOLE),
    _r("share", "Share of the cost that serves", "share", "IF({pv_need}>0,({pv_need}-{pv_train})/{pv_need},0)", SHARE),
    _r("pv_tokens", "Tokens, present", "million", "{tokens_AT1}", WHOLE),
    _r("pv_done", "Hours delivered, present", "h", "IF({rest}=0,SUMPRODUCT({q:own},{w:AT}),{pv_need})", WHOLE),
)  # fmt: skip

FIGURES: tuple[Row, ...] = (
    _r("npv", "Net present cost after tax", "currency", "({net}+{old_net})*in_FX", MONEY),
    _r("per_mtoken", "Million generated tokens, levelised", "currency",
       'IF({pv_tokens}>0,{net}*{share}/{pv_tokens}*in_FX,"none")', CENTS),
    _r("upfront", "Upfront cash", "currency",
       "({asset}*{asset_first}+{commit}*{term}*{p:in_ReservedUpfront})*in_FX", MONEY),
    _r("per_delivered", "Accelerator-hour delivered, levelised", "currency",
       'IF(AND({api}=0,{pv_done}>0),{net}/{pv_done}*in_FX,"none")', CENTS),
    _r("peak_kw", "IT power, busy", "kW", "{servers}*{busy_kw}*{owned}", "#,##0.0"),
    _r("co2", "Carbon of electricity", "kgCO2e",
       'IF(AND({rest}=3,SUM({q:need})>SUM({q:own})),"not stated",(SUM({q:kwh})+{over_kw}*(SUM({q:need})-SUM({q:own})))'
       "*{intensity}/1000)", WHOLE),
)  # fmt: skip
BEFORE_MONTHS = FIRST
AFTER_MONTHS: tuple[Row, ...] = (*ENDS, *_sums(), *_lines(), *LAST, *FIGURES)
