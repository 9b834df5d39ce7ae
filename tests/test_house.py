"""The house rules that a test can hold: file length, mirrored tests, no notes to self."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parent.parent
SOURCES = ("evolve", "operators", "fitness")
ROOMS = (*SOURCES, "experiments", "tests")
CAP = 400  # lines
NOTE = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

# Names alone, or contracts alone: nothing to run that other tests do not run.
UNMIRRORED = {"evolve/errors.py", "operators/selection/selected.py"}
# Checked by the suites of everything that calls them.
UNMIRRORED |= {"operators/selection/arguments.py"}


def files(*rooms: str) -> list[Path]:
    found = (path for room in rooms for path in sorted((HOUSE / room).rglob("*.py")))
    return [path for path in found if "__pycache__" not in path.parts]


def name(path: Path) -> str:
    return path.relative_to(HOUSE).as_posix()


@pytest.mark.parametrize("path", files(*ROOMS), ids=name)
def test_a_file_is_one_idea(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= CAP, f"{name(path)} has {lines} lines, the cap is {CAP}; find its second idea."


@pytest.mark.parametrize("path", files(*ROOMS), ids=name)
def test_there_are_no_notes_to_self(path: Path) -> None:
    if path == Path(__file__):
        return
    found = NOTE.search(path.read_text(encoding="utf-8"))
    assert found is None, (
        f"{name(path)} holds a {found and found.group()}: do it, or open an issue."
    )


@pytest.mark.parametrize("path", files(*SOURCES), ids=name)
def test_a_module_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith(('"""', 'r"""')), f"{name(path)} has no docstring at its top."


MODULES = [path for path in files(*SOURCES) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_has_its_test(path: Path) -> None:
    if name(path) in UNMIRRORED:
        return
    mirror = HOUSE / "tests" / path.relative_to(HOUSE).with_name(f"test_{path.name}")
    assert mirror.exists(), f"{name(path)} has no {name(mirror)}."


def test_exceptions_exist() -> None:
    assert {each for each in UNMIRRORED if not (HOUSE / each).exists()} == set()


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in files("tests")}
    assert [name(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_every_package_is_typed() -> None:
    assert [room for room in SOURCES if not (HOUSE / room / "py.typed").exists()] == []


def test_no_machine_and_no_scratch_is_tracked() -> None:
    try:
        done = subprocess.run(
            ["git", "-C", str(HOUSE), "ls-files"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    unwanted = re.compile(r"(^|/)(runs|\.venv|__pycache__|.*\.egg-info)/|\.(sqlite|pyc)$")
    assert [line for line in done.stdout.splitlines() if unwanted.search(line)] == []
