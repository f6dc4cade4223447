"""Our functions inside LibreOffice Calc: for people who work there, and as the independent engine of the tests.

    from udfs.libreoffice import default_profile, install
    install(default_profile())        # then start LibreOffice: =MLS_...() computes

A cell's `=MLS_KVCACHE(…)` is a Basic function of the user's library Standard (`basic`), which hands its arguments to
a component in the office's own Python (`component`), which passes them through a pipe to the interpreter that
installed it (`serve`). Everything lies inside the user's profile (`profile`): no administrator, no extension. Needed
on Debian and Ubuntu: `libreoffice-calc python3-uno`.

Calc differs from Excel in what it delivers and shows:

- TRUE in an argument arrives as 1, and FALSE as 0;
- an argument left out between two commas, `=MLS_X(a,,b)`, arrives as 0, while an empty cell and arguments left out
  at the end arrive as missing;
- a block needs an array formula of its size (entered with Ctrl+Shift+Enter): Calc 7.4 and 25.2 do not spill;
- an error cell as an argument passes through without a call, as in Excel; only `=IFERROR(MLS_X(E3), …)` with an
  error in E3 shows #N/A instead of the second argument (IFERROR around a cell that holds `=MLS_X(E3)` works);
- TRUE inside a block counts as 1 in SUM, which Excel leaves out;
- the function wizard does not list Basic functions, so it shows no help. The interface that it does list (XAddIn)
  was measured not to be found by name in an .xlsx file, hence is not used.
"""

from udfs.libreoffice.calc import recalculate, render
from udfs.libreoffice.office import LibreOfficeError, default_profile, find_soffice
from udfs.libreoffice.profile import install, uninstall

__all__ = [
    "LibreOfficeError",
    "default_profile",
    "find_soffice",
    "install",
    "recalculate",
    "render",
    "uninstall",
]
