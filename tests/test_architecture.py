"""The house: imports point one way, the core loads numpy alone, files stay short, no file names a machine's paths."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mlsysim", "udfs", "workbook")
SOURCES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
TEXTS = sorted(
    p
    for p in [*ROOT.glob("*"), *ROOT.glob(".ci/*"), *(q for d in (*PACKAGES, "tests") for q in (ROOT / d).rglob("*"))]
    if p.is_file() and p.suffix in {"", ".py", ".toml", ".md", ".cfg", ".yml", ".yaml", ".txt", ".json", ".bas", ".js"}
)

# Layers, lowest first; a file may import from its own layer's list and from nothing else of ours.
ALLOWED = {
    "mlsysim.errors": set(),
    "mlsysim.version": set(),
    "mlsysim.nomenclature": set(),
    "mlsysim.trace": set(),
    "mlsysim.hints": set(),
    "mlsysim.units": {"mlsysim.errors", "mlsysim.hints", "mlsysim.trace"},
    "mlsysim.record": {"mlsysim.hints", "mlsysim.units"},
    "mlsysim.fast": {"mlsysim.errors", "mlsysim.registry", "mlsysim.trace", "mlsysim.units"},
    "mlsysim.param": {"mlsysim.units"},
    "mlsysim.columns": {"mlsysim.errors", "mlsysim.param", "mlsysim.record", "mlsysim.units"},
    "mlsysim.catalogue": {
        "mlsysim.columns",
        "mlsysim.hints",
        "mlsysim.param",
        "mlsysim.errors",
        "mlsysim.fast",
        "mlsysim.nomenclature",
        "mlsysim.record",
        "mlsysim.units",
    },
    "mlsysim.registry": {"mlsysim.errors", "mlsysim.hints", "mlsysim.units"},
    "mlsysim.tables": {"mlsysim.record", "mlsysim.catalogue", "mlsysim.errors", "mlsysim.registry", "mlsysim.units"},
    "mlsysim.money_things": {"mlsysim.errors", "mlsysim.units", "mlsysim.registry"},
    "mlsysim.things": {"mlsysim.errors", "mlsysim.money_things", "mlsysim.units", "mlsysim.registry"},
    "mlsysim.equations": {"mlsysim.catalogue", "mlsysim.units", "mlsysim.errors", "mlsysim.equations"},
    "mlsysim.solvers": {
        "mlsysim.catalogue",
        "mlsysim.record",
        "mlsysim.units",
        "mlsysim.errors",
        "mlsysim.registry",
        "mlsysim.tables",
        "mlsysim.things",
        "mlsysim.equations",
        "mlsysim.solvers",
    },
    "mlsysim.shape": {"mlsysim.errors"},
    "mlsysim.configfields": {"mlsysim.errors", "mlsysim.units"},
    "mlsysim.architectures": {"mlsysim.errors", "mlsysim.configfields", "mlsysim.shape"},
    "mlsysim.config": {
        "mlsysim.architectures",
        "mlsysim.configfields",
        "mlsysim.errors",
        "mlsysim.registry",
        "mlsysim.shape",
        "mlsysim.things",
    },
    "mlsysim.api": {
        "mlsysim.catalogue",
        "mlsysim.config",
        "mlsysim.units",
        "mlsysim.errors",
        "mlsysim.registry",
        "mlsysim.things",
        "mlsysim.solvers",
    },
    "mlsysim": {"mlsysim"},
    "udfs": {"mlsysim", "udfs"},
    "workbook": {"mlsysim", "udfs", "workbook"},
}
CORE_LIBRARIES = {"numpy"}
ON_REQUEST = {"mlsysim.rows": {"pyarrow"}, "mlsysim.sweeps": {"pyarrow", "tqdm"}}  # the extra `scale`


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def layer_of(module: str) -> str:
    return max((layer for layer in ALLOWED if module == layer or module.startswith(layer + ".")), key=len)


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at any depth, as absolute names."""
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" if _is_module(f"{base}.{alias.name}") else base for alias in node.names}
    return found


def _is_module(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").exists() or (place / "__init__.py").exists()


def own(names: set[str]) -> set[str]:
    return {n for n in names if n.split(".")[0] in PACKAGES}


def test_the_reader_of_imports_sees_relative_and_nested_ones(tmp_path: Path) -> None:
    found = imports(ROOT / "mlsysim" / "solvers" / "serving.py")
    assert {"mlsysim.catalogue", "mlsysim.solvers.workload", "mlsysim.equations.serving", "numpy"} <= found
    assert "mlsysim.solvers.node" in imports(ROOT / "mlsysim" / "api.py")
    assert layer_of("mlsysim.solvers.node") == "mlsysim.solvers"
    assert layer_of("mlsysim.cli") == "mlsysim"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_arrows_point_one_way(path: Path) -> None:
    layer = layer_of(module_of(path))
    allowed = ALLOWED[layer]
    for name in own(imports(path)):
        assert any(name == a or name.startswith(a + ".") for a in allowed), f"{layer} must not import {name}"


@pytest.mark.parametrize("path", [p for p in SOURCES if module_of(p).startswith("mlsysim")], ids=module_of)
def test_the_core_knows_numpy_and_the_standard_library_only(path: Path) -> None:
    roots = {n.split(".")[0] for n in imports(path)}
    foreign = roots - set(sys.stdlib_module_names) - {"mlsysim"}
    assert foreign <= CORE_LIBRARIES | ON_REQUEST.get(module_of(path), set()), foreign


def test_importing_the_core_loads_numpy_and_none_of_the_faces() -> None:
    code = "import sys, mlsysim; mlsysim.CATALOGUE; print(*sorted({n.split('.')[0] for n in sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(out.stdout.split())
    assert {"numpy", "mlsysim"} <= loaded
    assert not loaded & {
        "openpyxl",
        "xlwings",
        "lxml",
        "formualizer",
        "udfs",
        "workbook",
        "pandas",
        "scipy",
        "pyarrow",
        "tqdm",
        "dask",
    }


def test_importing_the_core_reads_no_data_file() -> None:
    code = (
        "import sys; opened = []\n"
        "sys.addaudithook(lambda e, a: opened.append(str(a[0])) if e == 'open' else None)\n"
        "import mlsysim; mlsysim.CATALOGUE; print(*[o for o in opened if o.endswith('.toml')])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


@pytest.mark.parametrize("path", [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda p: p.stem)
def test_files_are_short_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") < (200 if path.name == "catalogue.py" else 400)
    assert ast.get_docstring(ast.parse(text)), "the first screen says what the file is for"


def test_nothing_is_left_to_be_done() -> None:
    words = re.compile("TO(DO)|FIX(ME)|raise NotImpl(ementedError)")
    assert [p.name for p in SOURCES if words.search(p.read_text("utf-8"))] == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    folders = re.compile(r"(?<![\w.-])/(work|root|tmp|home|Users|opt/venv)(/|\b(?=[\s'\"]))|[A-Z]:\\\\?Users")
    assert folders.search("/".join(("cd ", "work", "main")))
    assert folders.search("/".join(("'", "tmp'")))
    assert not folders.search("https://x.org/home/y")
    assert len(TEXTS) > 20
    found = [
        (str(p.relative_to(ROOT)), hit.group())
        for p in TEXTS
        if (hit := folders.search(p.read_text("utf-8", "ignore")))
    ]
    assert found == []


def test_the_top_level_is_the_one_agreed_on() -> None:
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith((".", "__"))}
    assert folders - {"build", "dist"} - {p.name for p in ROOT.glob("*.egg-info")} == {*PACKAGES, "tests"}
