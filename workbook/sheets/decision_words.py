"""The answer of Decision in words, and the cells that it is made of: ranking, gap, saving against buying, nearness.

Every piece stands in a cell of its own below the options, so that a reader can follow the sentence.  Numbers in texts
are written with spaces between thousands and a point, as the International System does, whatever the language of Excel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from openpyxl.styles import Alignment
from openpyxl.worksheet.worksheet import Worksheet

from ..style import CENTS, MONEY, WHOLE, block_title, heading, put
from .checks_table import COUNT_CELL
from .engine import DERIVED, PLACE, ROW, VALID, option_columns
from .inputs import point
from .options import OK, option_field

BOUGHT = ("buy", "loan")
BANDS = ("throughput-fixed-batch", "run-hours")  # what judges the throughput used here: serving, training
NO_ENGINE = (
    "Our functions do not answer here: install the add-in, choose frozen figures on Inputs, or run mls-workbook recalc "
    "on a copy"
)
# name: heading of a column of the ranking
_COLUMNS = {
    "option": "Option",
    "cost": "Ranked cost: in order, whole load served",
    "sorted": "In order of cost",
    "place": "Place",
    "low": "Low end, by throughput",
    "high": "High end, by throughput",
    "bought": "Ranked cost if bought",
    "held": "Ranked cost if it has devices",
    "same": "Device, format, TP",
}
LETTER = dict(zip(_COLUMNS, "ABCDEFGHI", strict=True))
# name: label of a line under the ranking; its value stands in column B
_LINES = {
    "sound": "Every check passes, none is missing",
    "engine": "Engine figures are there",
    "currency": "The currency has a rate",
    "choice": "The option asked for exists",
    "count": "Options in the ranking",
    "best": "Number of the lowest",
    "second": "Number of the runner-up",
    "bought": "Number of the lowest that is bought",
    "gap": "Gap to the runner-up",
    "gap_words": "in words",
    "saving": "Gap to the lowest that is bought",
    "saving_words": "in words",
    "close": "Ranges of the two lowest overlap",
    "drawn": "Option that charts of devices draw",
    "rate": "Option shown: tokens/s, or hours of a run",
    "sure": "what nine in ten reach",
    "standing": "its standing",
    "band": "measurements that judge it",
    "best_name": "The lowest",
    "second_name": "The runner-up",
    "bought_name": "The lowest that is bought",
    "rival": "What it is compared with",
    "too_close": "Sentence, if too close",
    "saves": "Sentence, if not",
    "left": "Who is left out",
}
_FORMATS = {"gap": MONEY, "saving": MONEY, "rate": CENTS, "sure": CENTS}
_TEXTS = ("gap_words", "saving_words", "standing", "band", "best_name", "second_name", "bought_name", "rival",
          "too_close", "saves", "left")  # fmt: skip


def amount(cell: str) -> str:
    """A positive amount to three figures in words: ``131 000``, ``1.25 million``."""
    figure = f"ROUND({cell},2-INT(LOG10({cell})))"
    million = f'{point(f"({figure}/1000000)")}&" million"'
    return f'IF({cell}<1,"0",IF({figure}>=1000000,{million},{figure_words(cell)}))'


def figure_words(cell: str) -> str:
    """A positive number to three figures."""
    figure = f"ROUND({cell},2-INT(LOG10({cell})))"
    thousands = f'INT({figure}/1000)&" "&TEXT(MOD({figure},1000),"000")'
    return f"IF({cell}>=1000,{thousands},{point(figure)})"


def range_words(low: str, high: str, standing: str) -> str:
    """Both ends to three figures, and what judges them."""
    beyond = f'IF({standing}="{VALID}","",", "&{standing})'
    return f'IF(ISNUMBER({low}),{figure_words(low)}&" to "&{figure_words(high)}&{beyond},{low})'


class Ranking:
    """Where the pieces stand: the ranking from row `top`, the lines under it."""

    def __init__(self, top: int, count: int) -> None:
        self.top, self.count = top, count
        self.first, self.last = top + 2, top + 1 + count
        self.row = {name: self.last + 1 + i for i, name in enumerate(_LINES)}
        self.end = self.last + len(_LINES)

    def column(self, name: str) -> str:
        """A column of the ranking."""
        c = LETTER[name]
        return f"${c}${self.first}:${c}${self.last}"

    def at(self, name: str) -> str:
        """A piece."""
        return f"$B${self.row[name]}"

    def place(self, option: int) -> str:
        """The place of option 0, 1, ..."""
        return f"${LETTER['place']}${self.first + option}"


def sound() -> str:
    """Whether every check passes and none is missing."""
    passed, rows, built = "COUNTIF(tblChecks[pass],TRUE)", "ROWS(tblChecks[pass])", f"Checks!{COUNT_CELL}"
    return f"AND({passed}={rows},{rows}={built})"


def verdict(ranking: Ranking, best_choice: str) -> str:
    """The one sentence; `best_choice` is the word that stands for the lowest in the selector."""
    at = ranking.at
    asked = f'"There is no option "&in_Option&": choose {best_choice}, or a number from 1 to {ranking.count}"'
    states = (
        (f"{at('engine')}=0", f'"{NO_ENGINE}"'),
        (f"{at('currency')}=0", '"The currency "&in_Currency&" has no rate: choose a key of Reg_Finance"'),
        (f"{at('choice')}=0", asked),
    )
    nothing = '"No option can be computed and serves the whole load: see Status under Options"'
    only = f'{at("best_name")}&": the only option that can be computed and serves the whole load"'
    said = f"IF({at('close')}=1,{at('too_close')},{at('saves')})"
    answer = f"IF({at('count')}=0,{nothing},IF({at('count')}=1,{only},{said})&{at('left')})"
    stale = 'IF(AND(in_Live=0,out_Stale>0),"Frozen figures are stale, see Engine_Frozen. ","")'
    formula = f'IF({at("sound")}=1,"","Checks fail, see Checks. ")&{stale}&{answer}'
    for test, words in reversed(states):
        formula = f"IF({test},{words},{formula})"
    return f"={formula}"


def add_ranking(
    sheet: Worksheet, ranking: Ranking, cells: Mapping[str, Sequence[str]], version: str, flip: str, best_choice: str
) -> None:
    """The ranking and its lines; `cells` holds the addresses of status, npv and share of every option."""
    block_title(sheet, ranking.top, "How the answer is found", 12)
    heading(sheet, ranking.top + 1, list(_COLUMNS.values()), height=44)
    columns = option_columns(ranking.count)
    for i in range(ranking.count):
        r = ranking.first + i
        own = {name: f"${c}{r}" for name, c in LETTER.items()}
        number = str(i + 1)
        named = option_field("option", number)
        fine = f'AND({cells["status"][i]}="{OK}",IF(ISNUMBER({cells["share"][i]}),{cells["share"][i]}>=1,FALSE))'
        words = ",".join(f'{option_field("financing", number)}="{w}"' for w in BOUGHT)
        k = f"ROWS(${LETTER['cost']}${ranking.first}:${LETTER['cost']}{r})"
        formulas = {
            "option": f'IF(ISTEXT({named}),{named},"option {number}")',
            "cost": f'IF(ISNUMBER({cells["npv"][i]}),IF({fine},{cells["npv"][i]},""),"")',
            "sorted": f'IF({k}<=COUNT({ranking.column("cost")}),SMALL({ranking.column("cost")},{k}),"")',
            "place": f"IF(ISNUMBER({own['cost']}),MATCH({own['cost']},{ranking.column('sorted')},0)"
            f'+COUNTIF(${LETTER["cost"]}${ranking.first}:${LETTER["cost"]}{r},{own["cost"]})-1,"none")',
            "low": _end(own["cost"], columns[i], "rate_p90", "run_wall_p10"),
            "high": _end(own["cost"], columns[i], "rate_p10", "run_wall_p90"),
            "same": f"Engine!${columns[i]}${PLACE['key']}",
            "bought": f'IF(OR({words}),{own["cost"]},"")',
            "held": f'IF(ISNUMBER(Engine!${columns[i]}${ROW["memory_share"]}),{own["cost"]},"")',
        }
        for name, formula in formulas.items():
            money = name in ("cost", "sorted", "low", "high", "bought", "held")
            style = "mls link" if name in ("option", "same") else "mls formula"
            put(
                sheet,
                f"{LETTER[name]}{r}",
                f"={formula}",
                style,
                MONEY if money else WHOLE if name == "place" else None,
            )
    _add_lines(sheet, ranking, version, flip, best_choice)


def _end(cost: str, column: str, rate_end: str, run_end: str) -> str:
    """The ranked cost at one end of throughput; an option without a device has none to doubt."""
    at = {n: f"Engine!${column}${r}" for n, r in (ROW | DERIVED).items()}
    served = f"IF(ISNUMBER({at[rate_end]}),{cost}*{at['per_device']}/{at[rate_end]},{at[rate_end]})"
    hours = f"{at['run_h']}*{at[run_end]}/{at['run_wall']}"
    trained = f"IF(ISNUMBER({at[run_end]}),{cost}*{hours}/{at['run_plan']},{at[run_end]})"
    doubt = f"IF(in_ServingOn=1,{served},{trained})"
    return f'IF(ISNUMBER({cost}),IF({at["weights"]}="no device",{cost},{doubt}),"")'


def _add_lines(sheet: Worksheet, ranking: Ranking, version: str, flip: str, best_choice: str) -> None:
    at, column = ranking.at, ranking.column
    of = {name: f"INDEX({column('cost')},{at(name)})" for name in ("best", "second", "bought")}
    asked = f"IF(AND(in_Option>=1,in_Option<=ROWS({column('cost')}),in_Option=INT(in_Option)),1,0)"
    money = 'in_Currency&" "&'
    ends = [f"INDEX({column('low')},{at('second')})", f"INDEX({column('high')},{at('best')})"]
    overlap = f"IF(AND(ISNUMBER({ends[0]}),ISNUMBER({ends[1]})),IF({ends[0]}<={ends[1]},1,0),1)"
    alike = f"INDEX({column('same')},{at('best')})=INDEX({column('same')},{at('second')})"
    engine = option_columns(ranking.count)
    own = {n: f"INDEX(Engine!${engine[0]}${r}:${engine[-1]}${r},out_Option)" for n, r in (ROW | DERIVED).items()}
    lowest = f"MATCH(MIN({column('held')}),{column('held')},0)"
    drawn = f"IF(OR(ISNUMBER({own['memory_share']}),COUNT({column('held')})=0),out_Option,{lowest})"
    longest = f"{own['run_h']}*{own['run_wall_p90']}/{own['run_wall']}"
    longest = f"IF(ISNUMBER({own['run_wall_p90']}),{longest},{own['run_wall_p90']})"
    names = {n: f"INDEX({column('option')},{at(n)})" for n in ("best", "second", "bought")}
    flips = f'IF({flip}="","","; "&{flip})'
    dearer = f"AND({at('bought')}>0,{at('bought')}<>{at('best')},{at('bought')}<>{at('second')})"
    buying = f'IF({dearer}," and "&{at("saving_words")}&" against buying ("&{at("bought_name")}&")","")'
    left = f"ROWS({column('cost')})-{at('count')}"
    formulas = {
        "sound": f"IF({sound()},1,0)",
        "engine": f"IF(in_Live=1,IF(ISTEXT({version}),1,0),IF(out_FrozenRows>0,1,0))",
        "currency": "IF(ISNUMBER(in_FX),1,0)",
        "choice": f'IF(in_Option="{best_choice}",1,IF(ISNUMBER(in_Option),{asked},0))',
        "count": f"COUNT({column('cost')})",
        "best": f"IF({at('count')}>0,MATCH(1,{column('place')},0),0)",
        "second": f"IF({at('count')}>1,MATCH(INDEX({column('place')},{at('best')})+1,{column('place')},0),0)",
        "bought": f"IF(COUNT({column('bought')})>0,MATCH(MIN({column('bought')}),{column('bought')},0),0)",
        "gap": f"IF({at('second')}>0,{of['second']}-{of['best']},0)",
        "gap_words": money + amount(at("gap")),
        "saving": f"IF({at('bought')}>0,{of['bought']}-{of['best']},0)",
        "saving_words": money + amount(at("saving")),
        # two ways to pay for the same devices share their throughput: its doubt cannot turn their order
        "close": f"IF({at('second')}=0,0,IF({alike},0,{overlap}))",
        # a chart of memory needs a device: the one shown, else the lowest that has one
        "drawn": f"IF(AND({at('engine')}=1,{at('choice')}=1),{drawn},1)",
        "rate": f"IF(in_ServingOn=1,{own['per_device']},{own['run_plan']})",
        "sure": f"IF(in_ServingOn=1,{own['rate_p10']},{longest})",
        "standing": f"IF(in_ServingOn=1,{own['rate_validity']},{own['run_wall_validity']})",
        "band": f'IF(in_ServingOn=1,"{BANDS[0]}","{BANDS[1]}")',
        "best_name": f'IF({at("best")}>0,{names["best"]},"none")',
        "second_name": f'IF({at("second")}>0,{names["second"]},"none")',
        "bought_name": f'IF({at("bought")}>0,{names["bought"]},"none")',
        "rival": f'IF(AND({at("second")}={at("bought")},{at("second")}>0),"buying ("&{at("second_name")}&")",'
        f"{at('second_name')})",
        "too_close": f'"Too close to call: "&{at("best_name")}&" or "&{at("second_name")}&", "&{at("gap_words")}'
        f'&" apart, less than the doubt about throughput; a measured throughput of both would decide"&{flips}',
        "saves": f'{at("best_name")}&": saves "&{at("gap_words")}&" against "&{at("rival")}&{buying}&{flips}',
        "left": f'IF({left}>0," ("&({left})&" of {ranking.count} left out: see Status under Options)","")',
    }
    for name, label in _LINES.items():
        r = ranking.row[name]
        put(sheet, f"A{r}", label, "mls unit" if label == "in words" else "mls label")
        cell = put(sheet, f"B{r}", f"={formulas[name]}", "mls formula", _FORMATS.get(name))
        if name in _TEXTS:
            cell.alignment = Alignment(horizontal="fill", vertical="center")
