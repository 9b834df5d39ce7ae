from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from fitness.sandbox.visible import visible


def test_the_three_and_what_they_require_and_nothing_else() -> None:
    shown = {Path(path).name for path, there in visible().shown if there}
    assert {"torch", "numpy", "scipy", "sympy", "networkx"} <= shown
    absent = {"sklearn", "ray", "transformers", "evolve", "fitness", "openai", "pip"}
    assert not absent & shown


def test_every_folder_of_packages_below_a_shown_one_looks_empty() -> None:
    shown = [Path(path) for path, there in visible().shown if there]
    covered = {Path(path) for path, there in visible().shown if not there}
    standard = Path(sysconfig.get_path("stdlib"))
    assert any(standard.is_relative_to(path) for path in shown)
    own = standard / "site-packages"
    assert not own.is_dir() or own in covered
    names = ("site-packages", "dist-packages")
    assert all(path.name in names for path in covered)
    order = [there for _, there in visible().shown]
    last_cover = max((i for i, there in enumerate(order) if not there), default=-1)
    packages = [i for i, (path, _) in enumerate(visible().shown) if path.endswith("/torch")]
    assert packages
    assert min(packages) > last_cover


def test_what_is_shown_exists_and_can_be_imported_from() -> None:
    assert [path for path, _ in visible().shown if not os.path.exists(path)] == []
    assert all(os.path.isdir(path) for path in visible().packages)
