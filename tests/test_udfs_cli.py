"""`mls-udfs`: the list, the help, near matches for a wrong name, and LibreOffice's profile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlsysim.registry import REGISTRIES, Thing, samples, sources
from mlsysim.things import Fleet
from udfs import FUNCTIONS, libreoffice, mls
from udfs.__main__ import main


def test_list_names_every_function_once_under_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    group, found = "", {}
    for line in lines:
        if line.startswith(" "):
            name, summary = line.split(maxsplit=1)
            assert name not in found
            found[name] = (group, summary)
        else:
            group = line.removesuffix(":")
    assert found == {name: (f.group, f.summary) for name, f in FUNCTIONS.items()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_tells_arguments_metrics_and_references(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", name]) == 0
    text = capsys.readouterr().out
    function = FUNCTIONS[name]
    assert text.startswith(f"={name}(")
    assert function.summary in text
    for argument in function.parameters:
        assert f"[{argument.name}]" in text or not argument.optional
        assert argument.help in text
    if function.entry:
        assert all(f"  {metric}" in text for metric in function.entry.metrics)
        assert all(sources()[key].title in text for key in function.entry.cites)


def test_help_gives_units(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "MLS_SERVING"]) == 0
    assert "  kv_cache_size          GB\n" in capsys.readouterr().out
    assert main(["help", "MLS_KV_SIZE"]) == 0
    assert "Answers in GB." in capsys.readouterr().out


@pytest.mark.parametrize("spelling", ["serving", "Mls_Serving", "=MLS_SERVING()", " MLS_SERVING "])
def test_help_is_lenient_about_spelling(spelling: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", spelling]) == 0
    assert capsys.readouterr().out.startswith("=MLS_SERVING(")


@pytest.mark.parametrize(
    ("wrong", "words"), [("MLS_SERVNG", "did you mean MLS_SERVING"), ("zzzz", "`mls-udfs list`"), ("", "no function")]
)
def test_wrong_names_are_answered(wrong: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", wrong]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert repr(wrong) in err


def test_wrong_commands_end_with_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["lst"], ["libreoffice", "remove"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert "usage: mls-udfs" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_libreoffice_works_on_the_users_profile(
    action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profiles: list[Path] = []
    monkeypatch.setattr(libreoffice, action, profiles.append)
    assert main(["libreoffice", action]) == 0
    assert profiles == [libreoffice.default_profile()]
    assert str(profiles[0]) in capsys.readouterr().out


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_libreoffice_refusals_are_sentences(
    action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Path) -> None:
        raise libreoffice.LibreOfficeError("LibreOffice is running; close it first.")

    monkeypatch.setattr(libreoffice, action, refuse)
    assert main(["libreoffice", action]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "LibreOffice is running; close it first.\n")


def test_as_a_module_a_wrong_name_ends_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "udfs", "help", "MLS_SERVNG"], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("There is no function 'MLS_SERVNG'; did you mean MLS_SERVING")


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "udfs", "list"], cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 0


@pytest.mark.parametrize("kind", REGISTRIES, ids=lambda kind: kind.__name__)
def test_samples_of_own_things_are_legal(kind: type[Thing]) -> None:
    for text in samples(kind):
        assert REGISTRIES[kind].resolve(text).key == "Mine"


def test_help_shows_a_fleet_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "MLS_TCO"]) == 0
    shown = capsys.readouterr().out
    assert len(samples(Fleet)) == 2
    assert all(f'fleet       "{text}"' in shown for text in samples(Fleet))
    assert mls.MLS_TCO(samples(Fleet)[1]) > 0
