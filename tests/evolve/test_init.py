"""Importing evolve: instant, and sure of its own packages. Each import in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import evolve

HOME = Path(evolve.__file__).resolve().parent.parent
HEAVY = ("torch", "ray", "transformers", "mergekit", "optuna", "evox", "safetensors", "rich")


def python(code: str, *, path: Path) -> subprocess.CompletedProcess[str]:
    """`code` in a new interpreter with `path` and then the repository first on sys.path."""
    code = f"import sys; sys.path[:0] = [{str(path)!r}, {str(HOME)!r}]\n{code}"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, cwd=path, check=False)


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    done = python(f"import evolve; print([m for m in {HEAVY} if m in sys.modules])", path=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_every_name_promised_is_there() -> None:
    assert set(evolve.__all__) <= set(vars(evolve))
    assert len(set(evolve.__all__)) == len(evolve.__all__)


@pytest.mark.parametrize("name", ["operators", "fitness"])
@pytest.mark.parametrize("form", ["{}/__init__.py", "{}.py"])
def test_a_shadowing_package_is_named(tmp_path: Path, name: str, form: str) -> None:
    foreign = tmp_path / form.format(name)
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("")
    done = python("import evolve", path=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    where = foreign.parent if foreign.name == "__init__.py" else foreign
    assert last.startswith(f"ImportError: `import {name}` finds {where}, not evolve's own")
    assert "rename" in last


def test_a_folder_without_code_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "operators").mkdir()  # a namespace package gives way to a real one
    done = python("import evolve, operators; print(operators.__file__)", path=tmp_path)
    assert done.stdout.strip() == str(HOME / "operators" / "__init__.py"), done.stderr
