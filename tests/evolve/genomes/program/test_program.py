from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evolve.errors import GenomeError
from evolve.genome import WRITTEN, Genome, canonical, digest
from evolve.genomes.program.program import Program
from tests.contracts.genome import GenomeContract

NET = '''"""A net."""

# EVOLVE-BLOCK-START width
WIDTH = 8  # wide
# EVOLVE-BLOCK-END


class Net:
    # EVOLVE-BLOCK-START body
    def forward(self, x):
        return x * WIDTH
    # EVOLVE-BLOCK-END

    def secret(self):
        return 42
'''
PART = "def loss(a, b):\n    return a - b\n\n\ndef build():\n    return 1\n"
ONE = Program({"net.py": NET})
TWO = Program({"net.py": NET, "parts/loss.py": PART}, ("parts/loss.py:loss",))
TENSORS = {"w": np.arange(3, dtype=np.float32), "deep": np.array(2.0)}


class TestProgram(GenomeContract):
    @pytest.fixture
    def genomes(self) -> list[Genome]:
        return [
            ONE,
            TWO,
            replace(TWO, functions=("parts/loss.py:build",)),
            ONE.swapped({"width": "WIDTH = 9"}),
            replace(ONE, inherited=TENSORS, epochs=3),
            replace(ONE, inherited=TENSORS, epochs=4),
        ]


def test_regions_of_all_files_by_name() -> None:
    assert dict(TWO.regions) == {
        "width": "WIDTH = 8  # wide\n",
        "body": "def forward(self, x):\n    return x * WIDTH\n",
        "loss": "def loss(a, b):\n    return a - b\n",
    }


def test_only_what_is_swapped_changes() -> None:
    child = TWO.swapped(
        {"loss": "def loss(a, b):\n    return (a - b) ** 2\n", "width": "WIDTH = 4"}
    )
    assert child.files["net.py"] == NET.replace("WIDTH = 8  # wide", "WIDTH = 4")
    assert child.files["parts/loss.py"] == PART.replace("a - b", "(a - b) ** 2")
    assert child.protected == TWO.protected
    assert TWO.files["net.py"] == NET
    nested = TWO.swapped(
        {"body": "def forward(self, x):\n    if x:\n        return 1\n    return 2"}
    )
    assert (
        "\n        if x:\n            return 1\n        return 2\n    # EV"
        in nested.files["net.py"]
    )


def test_comments_and_formatting_in_a_region_make_no_new_individual() -> None:
    twin = ONE.swapped({"width": "# a thought\nWIDTH = (8)\n"})
    assert twin.files != ONE.files
    assert digest(twin) == digest(ONE)
    assert digest(ONE.swapped({"width": "WIDTH = 8.0"})) != digest(ONE)


def test_another_protected_comment_is_another_program() -> None:
    other = Program({"net.py": NET.replace('"""A net."""', '"""The net."""')})
    assert other.normal == ONE.normal
    assert digest(other) != digest(ONE)


def test_names_of_files_are_protected() -> None:
    assert Program({"other.py": NET}).protected != ONE.protected


def test_what_was_written_is_kept_apart_from_what_counts() -> None:
    facts = ONE.pack().facts
    assert facts[WRITTEN] == {"net.py": NET}
    assert "wide" not in canonical({k: v for k, v in facts.items() if k != WRITTEN})
    assert Program.unpack(TWO.pack()).files == TWO.files


def test_a_swap_begins_from_scratch() -> None:
    grown = replace(ONE, inherited=TENSORS, epochs=3)
    child = grown.swapped({"width": "WIDTH = 9"})
    assert (dict(child.inherited), child.epochs) == ({}, 0)
    assert grown.swapped({}).epochs == 0


def test_what_is_expressed_is_the_text_as_written() -> None:
    assert ONE.express() == {"net.py": NET}


def test_a_region_that_is_not_there_cannot_be_swapped() -> None:
    with pytest.raises(GenomeError, match="no region 'secret'; it has width, body"):
        ONE.swapped({"secret": "x = 1"})


@pytest.mark.parametrize(
    "new",
    [
        "WIDTH = '''",
        "WIDTH = (",
        "WIDTH = 8\n# EVOLVE-BLOCK-END\nNet = None",
        "# EVOLVE-BLOCK-START width2\nWIDTH = 8",
        "",
        "pass  # \u202e",
        "WIDTH = 8 \\",
    ],
)
def test_no_text_reaches_out_of_its_region(new: str) -> None:
    with pytest.raises(GenomeError):
        ONE.swapped({"width": new})


def test_no_text_draws_what_follows_into_it() -> None:
    program = Program({"a.py": "def f():\n    return 1\n(print('kept'))\n"}, ("a.py:f",))
    with pytest.raises(GenomeError, match=r"no Python|lies outside"):
        program.swapped({"f": "def f(): return print \\\n\n"})


def test_no_text_takes_a_functions_place() -> None:
    text = "# EVOLVE-BLOCK-START a\nx = 1\n# EVOLVE-BLOCK-END\n\n\ndef f():\n    return 1\n"
    program = Program({"a.py": text}, ("a.py:f",))
    with pytest.raises(GenomeError, match="overlap"):
        program.swapped({"a": "def f():\n    return 2\n"})


@pytest.mark.parametrize(
    "path", ["/net.py", "../net.py", "a/../../net.py", "a//net.py", "./net.py", "", "a\nb.py"]
)
def test_files_lie_where_they_should(path: str) -> None:
    with pytest.raises(GenomeError, match="plain relative path"):
        Program({path: NET})


def test_a_comment_cannot_choose_another_encoding() -> None:
    # utf-7 would read a line end and code in the comment that this file begins with
    text = "# EVOLVE-BLOCK-START width\nWIDTH = 8\n# EVOLVE-BLOCK-END\n"
    program = Program({"net.py": text})
    for comment in ("# coding: utf-7 +AAo-import os", "# -*- encoding: latin-1 -*-"):
        with pytest.raises(GenomeError, match="names the encoding"):
            program.swapped({"width": f"{comment}\nWIDTH = 8"})
    with pytest.raises(GenomeError, match="not utf-8: unknown encoding"):
        program.swapped({"width": "# coding: one-hot\nWIDTH = 8"})
    assert Program({"net.py": f"# coding: utf-8\n{text}"}).swapped(
        {"width": "# encoding: one-hot\nWIDTH = 8"}
    )


def test_programs_that_cannot_evolve_are_refused() -> None:
    for files, functions, words in (
        ({"net.py": "x = 1\n"}, (), "has no evolvable region"),
        ({}, (), "has no evolvable region"),
        ({"a.py": NET, "b.py": NET}, (), "two regions 'width'"),
        ({"net.py": NET}, ("net.py",), "must be FILE:PATH"),
        ({"net.py": NET}, ("other.py:f",), "must be FILE:PATH"),
        ({"net.py": NET, "b.py": "x = ("}, (), "b.py is no Python"),
    ):
        with pytest.raises(GenomeError, match=words):
            Program(files, functions)


def test_a_program_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET.replace("\n", "\r\n"))
    (tmp_path / "loss.py").write_text(PART)
    read = Program.read(tmp_path / "net.py", tmp_path / "loss.py", functions=["loss.py:loss"])
    assert read.files == {"net.py": NET, "loss.py": PART}
    assert list(read.regions) == ["loss", "width", "body"]


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(GenomeError, match=r"Cannot read the program's file .*none.py"):
        Program.read(tmp_path / "none.py")
    (tmp_path / "net.py").write_bytes(b"\xff\xfe")
    with pytest.raises(GenomeError, match="Cannot read"):
        Program.read(tmp_path / "net.py")
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "net.py").write_text(NET)
    with pytest.raises(GenomeError, match=r"Two files are called net\.py"):
        Program.read(tmp_path / "net.py", tmp_path / "more" / "net.py")
