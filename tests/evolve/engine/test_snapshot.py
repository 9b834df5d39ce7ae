"""What is sent to workers, what is compared at a resume, and what is only said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import evolve
from evolve.engine import snapshot as module
from evolve.engine.snapshot import snapshot
from evolve.errors import ExperimentError

HOME = Path(evolve.__file__).resolve().parent.parent
TRIAL = {
    "trial.py": "import helper\nimport parts.inner\n",
    "helper.py": "N = 9\n",
    "parts/__init__.py": "",
    "parts/inner.py": "X = 1\n",
}

DRIVER = """
import importlib, json, sys
from pathlib import Path
from evolve.engine.snapshot import snapshot
file = Path(sys.argv[1])
sys.path.insert(0, str(file.parent))
importlib.import_module(file.stem)
found = snapshot(file)
Path(sys.argv[2]).write_bytes(found.archive)
print(json.dumps([found.sha256, found.loaded_sha256, found.files, found.roots, found.warnings]))
"""


@dataclass(frozen=True)
class Found:
    sha256: str
    loaded: str
    files: list[str]
    roots: list[str]
    warnings: list[str]
    archive: bytes


def written(folder: Path, files: dict[str, str] | None = None) -> Path:
    """`folder` with an experiment, its helper, its package, and `files`."""
    for name, text in {**TRIAL, **(files or {})}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "trial.py"


def sent(file: Path, scratch: Path) -> Found:
    """The snapshot of `file` in a fresh process."""
    command = [sys.executable, "-B", "-c", DRIVER, str(file), str(scratch)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HOME, check=False)
    assert done.returncode == 0, done.stderr
    return Found(*json.loads(done.stdout), scratch.read_bytes())


def with_loaded(monkeypatch: pytest.MonkeyPatch, *loaded: ModuleType) -> None:
    """Let `snapshot` see these modules as the loaded ones."""
    modules = {each.__name__: each for each in loaded}
    seen = SimpleNamespace(
        modules=modules, path=sys.path, stdlib_module_names=sys.stdlib_module_names
    )
    monkeypatch.setattr(module, "sys", seen)


def test_the_same_code_elsewhere_is_the_same(tmp_path: Path) -> None:
    one = sent(written(tmp_path / "a"), tmp_path / "one.zip")
    other = written(tmp_path / "b")
    os.utime(tmp_path / "b" / "helper.py", (1e9, 1e9))
    two = sent(other, tmp_path / "two.zip")
    assert (one.sha256, one.loaded, one.archive) == (two.sha256, two.loaded, two.archive)
    assert one.roots == [str(tmp_path / "a")]
    assert one.files == sorted(TRIAL)
    assert not one.warnings


def test_user_code_of_this_repository_goes_without_evolve_and_without_data(
    tmp_path: Path,
) -> None:
    text = TRIAL["trial.py"] + "import numpy\nfrom tests.evolve import cases\n"
    found = sent(written(tmp_path / "a", {"trial.py": text}), tmp_path / "zip")
    assert found.roots == [str(tmp_path / "a"), str(HOME)]
    tops = {file.partition("/")[0] for file in found.files}
    assert tops == {"trial.py", "helper.py", "parts", "tests"}
    assert "tests/evolve/engine/problems.py" in found.files
    assert "tests/conftest.py" in found.files, "the whole package: it may be imported later"
    assert len(found.archive) < 1_000_000


LAZY = {
    "helper.py": "N = 9\ndef f():\n    from later import X\n    import late.module\n",
    "later.py": "X = 1\n",
    "late/module.py": "Y = 1\n",
    "aside.py": "Z = 1\n",
    "parts/unused.py": "Z = 1\n",
    "parts/inner.py": "from .deep.bottom import X\n",
    "parts/deep/__init__.py": "from . import near\n",
    "parts/deep/near.py": "",
    "parts/deep/bottom.py": "from ..far import X\n",
    "parts/far.py": "X = 1\n",
}


@pytest.fixture(scope="module")
def lazy(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("lazy")
    return sent(written(folder / "a", LAZY), folder / "zip")


@pytest.mark.parametrize(
    ("changed", "compared"),
    [
        ("helper.py", True),
        ("parts/__init__.py", True),
        ("later.py", True),
        ("late/module.py", True),
        ("parts/deep/near.py", True),
        ("parts/far.py", True),
        ("aside.py", False),
        ("parts/unused.py", False),
    ],
)
def test_a_resume_compares_what_is_imported_at_once_or_later(
    tmp_path: Path, lazy: Found, changed: str, compared: bool
) -> None:
    assert set(lazy.files) == {*TRIAL, *LAZY}
    text = {**TRIAL, **LAZY}[changed] + "# changed\n"
    after = sent(written(tmp_path / "a", {**LAZY, changed: text}), tmp_path / "zip")
    assert after.sha256 != lazy.sha256
    assert (after.loaded != lazy.loaded) == compared


def test_what_is_no_python_beside_it_harms_nothing(tmp_path: Path, lazy: Found) -> None:
    files = {**LAZY, "aside.py": "def (\n", "later.py": "def (\n"}
    assert sent(written(tmp_path / "a", files), tmp_path / "zip").loaded != lazy.loaded


def test_what_cannot_be_imported_or_is_data_is_said(tmp_path: Path) -> None:
    names = ["my-script.py", "class.py", "json.py", "yaml.py", "random_words.py", "table.csv"]
    names += ["parts/table.csv", "parts/notes.md", "parts/.hidden"]
    names += [f"parts/data/{i}.bin" for i in range(3)]
    names += ["parts/unused/__init__.py", "parts/unused/picture.png"]
    file = written(tmp_path / "a", dict.fromkeys(names, ""))
    found = sent(file, tmp_path / "zip")
    nameless, shadows, data = found.warnings
    assert nameless.startswith("class.py, my-script.py in ")
    assert "no identifier: not sent" in nameless
    assert shadows.startswith("json.py, yaml.py in ")
    assert "rename it" in shadows
    assert data.startswith("table.csv, data/0.bin, data/1.bin and 1 more in ")
    assert "data is not sent to workers" in data
    assert "random_words.py" in found.files
    assert not {"json.py", "yaml.py", "class.py", "my-script.py"} & set(found.files)


@pytest.mark.parametrize("name", ["operators", "fitness", "evolve"])
@pytest.mark.parametrize("form", ["{}.py", "{}/__init__.py"])
def test_a_package_beside_it_that_shadows_ours_is_refused(
    tmp_path: Path, name: str, form: str
) -> None:
    """Also in a process where ours are loaded already, so that the guard sees no wrong."""
    import fitness
    import operators

    assert {fitness, operators} <= set(sys.modules.values())
    file = written(tmp_path / "a")
    wrong = file.parent / form.format(name)
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_text("")
    with pytest.raises(ExperimentError, match=f"shadows evolve's own package {name!r}; rename"):
        snapshot(file)


def test_a_folder_of_that_name_without_code_is_no_shadow(tmp_path: Path) -> None:
    file = written(tmp_path / "a")
    (file.parent / "operators").mkdir()
    assert "trial.py" in snapshot(file).files


def test_too_much_code_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "a", {f"m{i}.py": "" for i in range(30)})
    with_loaded(monkeypatch)
    assert len(snapshot(file).files) == 32
    for limit, value in (("MOST_FILES", 31), ("MOST_BYTES", 9)):
        with monkeypatch.context() as patch:
            patch.setattr(module, limit, value)
            with pytest.raises(ExperimentError, match=f"come from {file.parent}. Put the exper"):
                snapshot(file)


def test_modules_by_name_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"only_by_name.py": "import helper_by_name\n", "helper_by_name.py": "A = 1\n"}
    written(tmp_path / "a", files)
    monkeypatch.syspath_prepend(str(tmp_path / "a"))
    with_loaded(monkeypatch)
    assert snapshot(None).files == ()
    one = snapshot(None, ["only_by_name"])
    assert one.files == ("helper_by_name.py", "only_by_name.py")
    (tmp_path / "a" / "helper_by_name.py").write_text("A = 2\n")
    assert snapshot(None, ["only_by_name"]).loaded_sha256 != one.loaded_sha256


def test_an_extension_module_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = ModuleType("built")
    built.__file__ = str(tmp_path / "built.so")
    (tmp_path / "built.so").write_bytes(b"")
    with_loaded(monkeypatch, built)
    found = snapshot(None)
    assert found.files == ()
    assert found.warnings[0].startswith("built is built.so, no Python source, and is not sent")


def test_a_generated_module_under_a_name_deeper_than_its_file_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's compiler makes such."""
    made = ModuleType(".".join(f"part{i}" for i in range(len(tmp_path.parents) + 2)))
    file = tmp_path / "made.py"
    file.write_text("")
    monkeypatch.setattr(made, "__file__", str(file), raising=False)
    monkeypatch.setitem(sys.modules, made.__name__, made)
    assert not any(name.startswith("part0") for name in snapshot(None).files)
