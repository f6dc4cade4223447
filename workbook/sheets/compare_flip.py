"""The load at which the lowest option changes, its fleets being as they are: two straight lines that cross."""

from __future__ import annotations

from ..style import SHARE, WHOLE
from .compare_table import SHEET, Table

_PLACE: dict[str, str] = {}


def flip_at() -> str:
    """Address of the words."""
    return _PLACE["words"]


def add_flip(t: Table) -> None:
    """Rows under the decision to buy: where the lowest and the runner-up cost the same."""
    both = "AND(ISNUMBER({best}),ISNUMBER({runner}))"

    def of(name: str, which: str) -> str:
        return f"INDEX({{row:{name}}},{{{which}}})"

    steeper = f"({of('moving', 'best')}-{of('moving', 'runner')})"
    apart = f"({of('fixed', 'runner')}-{of('fixed', 'best')})"
    t.value("flip_slope", "The lowest moves more with the load than the runner-up: 1, less: -1", "sign",
            f"IF({both},SIGN(ROUND({steeper},2)),0)", WHOLE)  # fmt: skip
    t.value("flip_load", "Both cost the same at this share of the planned load", "share of the load",
            f'IF({{flip_slope}}<>0,IF({apart}/{steeper}>0,{apart}/{steeper},"none"),"none")', SHARE)  # fmt: skip
    t.option("load_room", "Load that its fleet carries, of the planned load; below 1: others serve a part", "share",
             'IF({total:fleet}=0,"any",IF(SUMPRODUCT({months:over_h},{months:up})>0,0,IF(MAX({months:need})>0,'
             'MAX({months:cap})/MAX({months:need}),"any")))', SHARE)  # fmt: skip
    t.value("flip_room", "Both fleets carry up to", "share of the load",
            f'IF({both},MIN({of("load_room", "best")},{of("load_room", "runner")}),"none")', SHARE)  # fmt: skip
    t.value("flip_carried", "The fleets carry that load: 1", "flag",
            f"IF(ISNUMBER({{flip_load}}),IF(COUNT({of('load_room', 'best')},{of('load_room', 'runner')})=0,1,"
            "IF({flip_load}<={flip_room},1,0)),0)", WHOLE)  # fmt: skip
    filled = f"INDEX({{row:filled}},IF(ISNUMBER({of('filled', 'best')}),{{best}},{{runner}}))"
    utilisation = (
        f'IF(ISNUMBER({filled}),ROUND(100*{{flip_load}}*{filled},0)&" % utilisation",ROUND(100*'
        f'{{flip_load}},0)&" % of the load")'
    )
    words = f'IF({{flip_slope}}>0,"flips above ","flips below ")&{utilisation}'
    never = '"does not flip at any load that the fleets carry"'
    bent = f"COUNT({of('load_room', 'best')},{of('load_room', 'runner')})>0,{{flip_room}}=0"
    open_ = '"not worked out: a fleet is full already"'
    t.value("flip", "In words", "",
            f'IF({both},IF(AND({bent}),{open_},IF({{flip_carried}}=1,{words},{never})),"")', None)  # fmt: skip
    _PLACE["words"] = f"{SHEET}!$C${t.rows['flip']}"
