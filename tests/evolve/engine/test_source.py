"""Experiment files: which are taken, which are refused, and with which words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evolve.engine.source import file_of, load_experiment
from evolve.errors import ExperimentError

GOOD = """
from tests.evolve.engine.problems import dtlz
experiment = dtlz({})
"""


@pytest.fixture(autouse=True)
def _forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take away again what these files put into this process."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a second is too coarse a clock
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (vars(sys.modules[name]).get("__file__") or "").startswith(str(tmp_path)):
            del sys.modules[name]


def written(folder: Path, name: str, text: str = GOOD.format(7)) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ExperimentError) as caught:
        load_experiment(path)
    return str(caught.value)


def test_the_value_named_experiment_is_loaded_by_the_stem(tmp_path: Path) -> None:
    path = written(tmp_path / "code", "trial_of_seven.py")
    assert load_experiment(path).births == 7
    assert vars(sys.modules["trial_of_seven"])["__file__"] == str(path)
    assert sys.path[0] == str(path.parent), "first, as in the workers"
    assert load_experiment(path).births == 7, "loaded already, it shadows nothing"
    assert sys.path.count(str(path.parent)) == 1


def test_modules_beside_the_file_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "number_of_births.py", "N = 9")
    text = GOOD.format("number_of_births.N")
    written(tmp_path, "trial_with_company.py", f"import number_of_births\n{text}")
    monkeypatch.chdir(tmp_path)
    assert load_experiment(Path("trial_with_company.py")).births == 9


@pytest.mark.parametrize("name", ["missing.py", "folder.py", "notes.txt", "noending"])
def test_what_is_no_python_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "notes.txt").write_text(GOOD)
    (tmp_path / "noending").write_text(GOOD)
    words = f"{tmp_path / name} is not a Python file; give the path of an experiment."
    assert refused(tmp_path / name) == words


@pytest.mark.parametrize(
    ("name", "instead"),
    [("my-merge.py", "my_merge.py"), ("a b.c.py", "a_b_c.py"), ("3d.py", "3d.py")],
)
def test_a_name_that_is_no_identifier(tmp_path: Path, name: str, instead: str) -> None:
    said = refused(written(tmp_path, name))
    assert f"{name} cannot be imported: its name is not an identifier" in said
    assert said.endswith(f"{instead}.")


@pytest.mark.parametrize(
    "name", ["json", "sys", "antigravity", "numpy", "setuptools", "evolve", "fitness", "__main__"]
)
def test_a_name_that_shadows_a_module(tmp_path: Path, name: str) -> None:
    before = dict(sys.modules)
    said = refused(written(tmp_path, f"{name}.py"))
    assert f"{name}.py shadows the module {name!r}" in said
    assert "rename it, workers would import the wrong one" in said
    assert sys.modules == before, "it was not run"
    assert str(tmp_path) not in sys.path


def test_a_namesake_that_is_loaded_from_another_folder(tmp_path: Path) -> None:
    first = written(tmp_path / "a", "trial_twice.py")
    load_experiment(first)
    said = refused(written(tmp_path / "b", "trial_twice.py"))
    assert f"shadows the module 'trial_twice' ({first})" in said


def test_a_package_beside_the_file(tmp_path: Path) -> None:
    written(tmp_path, "trial_packed/__init__.py", "")
    said = refused(written(tmp_path, "trial_packed.py"))
    assert "trial_packed.py lies beside the package trial_packed/, which Python imports" in said


def test_a_folder_of_its_name_is_no_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `--out trial_foldered` makes where one works, with that place on the path."""
    (tmp_path / "trial_foldered").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_experiment(written(tmp_path / "code", "trial_foldered.py")).births == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module"),
        ("raise OSError('the data is away')", "OSError: the data is away"),
        ("def", "SyntaxError: invalid syntax"),
        (GOOD.format(0), "ExperimentError: Experiment.births is 0; give 1 or more. (at line 3)"),
        ("x = 1\n\ny = x / 0", "ZeroDivisionError: division by zero (at line 3)"),
        (
            "def f():\n    int('a')\nf()",
            "ValueError: invalid literal for int() with base 10: 'a' (at line 2)",
        ),
    ],
)
def test_the_error_of_an_import_is_shown(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, "trial_broken.py", text)
    assert f"{path} cannot be imported: {words}" in refused(path)
    path.write_text(GOOD.format(8))
    assert load_experiment(path).births == 8, "mended, it loads in the same process"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "has no `experiment`"),
        ("experiment = None", "has no `experiment`"),
        ("experiment = {'births': 3}", "`experiment` is a <class 'dict'>"),
        ("from evolve import Experiment as experiment", "`experiment` is a <class 'type'>"),
    ],
)
def test_a_file_without_an_experiment(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, "trial_without.py", text)
    said = refused(path)
    assert f"{path}: {words}" in said
    assert "define `experiment = Experiment(name=..., search=...," in said


def test_packages_that_shadow_ours_are_found(tmp_path: Path) -> None:
    written(tmp_path, "operators/__init__.py", "")
    path = written(tmp_path, "trial_shadowed.py")
    loaded = {name: sys.modules.pop(name) for name in list(sys.modules) if ours(name)}
    try:
        said = refused(path)
    finally:
        sys.modules.update(loaded)
    assert f"`import operators` finds {tmp_path / 'operators'}, not evolve's own package" in said


def ours(name: str) -> bool:
    return name.partition(".")[0] == "operators"


def test_another_value_is_loaded_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path, "trial_of_two.py", f"{GOOD.format(7)}longer = dtlz(9)\n")
    named = path.with_name("trial_of_two.py:longer")
    assert load_experiment(path).births == 7
    assert load_experiment(named).births == 9
    assert file_of(named) == file_of(path) == path
    assert "has no `shorter`" in refused(path.with_name("trial_of_two.py:shorter"))


def test_a_function_makes_the_experiment_when_it_is_wanted(tmp_path: Path) -> None:
    text = f"{GOOD.format(7)}def longer(): return dtlz(9)\ndef broken(): return 1 / 0\n"
    path = written(tmp_path, "trial_of_functions.py", text)
    assert load_experiment(path).births == 7
    assert load_experiment(path.with_name("trial_of_functions.py:longer")).births == 9
    words = refused(path.with_name("trial_of_functions.py:broken"))
    assert "broken() fails: ZeroDivisionError: division by zero (at line 5)" in words
