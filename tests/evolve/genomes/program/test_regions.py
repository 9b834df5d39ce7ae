from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import GenomeError
from evolve.genomes.program.regions import content, regions_of, replaced

FILE = '''"""Documentation may show a marker:

# EVOLVE-BLOCK-START shown
# EVOLVE-BLOCK-END
"""
# EVOLVE-BLOCK-START head
WIDTH = 8
# EVOLVE-BLOCK-END


class Net:
    rate = 0.1

    #EVOLVE-BLOCK-START\tbody
    # how it is done

    def forward(self, x):
        text = """
  left alone
        as it is"""
        if x:
            return text
# a comment at the margin
        return [
    x,
        ]
    # EVOLVE-BLOCK-END

    @staticmethod
    def apart(
        x,
    ):
        def inner():
            return x

        return inner
'''
BODY = '''# how it is done

def forward(self, x):
    text = """
  left alone
        as it is"""
    if x:
        return text
# a comment at the margin
    return [
x,
    ]
'''


def texts(text: str, functions: Sequence[str] = ()) -> dict[str, str]:
    return {each.name: content(text, each) for each in regions_of(text, "net.py", functions)}


def test_marked_regions_stand_at_the_left_margin_and_strings_stay() -> None:
    assert texts(FILE) == {"head": "WIDTH = 8\n", "body": BODY}


def test_a_function_is_a_region_with_its_decorators() -> None:
    found = texts(FILE, ["Net.apart"])
    assert list(found) == ["head", "body", "Net.apart"]
    assert found["Net.apart"].startswith("@staticmethod\ndef apart(\n    x,\n):\n    def inner")


def test_functions_within_functions_and_coroutines() -> None:
    text = "def a():\n    async def b():\n        return 1\n\n    return b\n"
    assert texts(text, ["a.b"]) == {"a.b": "async def b():\n    return 1\n"}


def test_tabs_are_an_indent_too() -> None:
    text = "class A:\n\tdef f(self):\n\t\tif 1:\n\t\t\treturn 2\n"
    ((name, found),) = texts(text, ["A.f"]).items()
    assert (name, found) == ("A.f", "def f(self):\n\tif 1:\n\t\treturn 2\n")
    (region,) = regions_of(text, "net.py", ["A.f"])
    new = replaced(text, region, "def f(self):\n    return 3\n")
    assert new == "class A:\n\tdef f(self):\n\t    return 3\n"


def test_without_a_name_a_region_is_counted() -> None:
    marked = "# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n"
    assert list(texts(marked + marked)) == ["block0", "block1"]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_its_own_text_changes_nothing_but_a_few_margins(which: int) -> None:
    region = regions_of(FILE, "net.py", ["Net.apart"])[which]
    once = replaced(FILE, region, content(FILE, region))
    stripped = [[line.strip() for line in text.split("\n")] for text in (once, FILE)]
    assert stripped[0] == stripped[1]
    again = regions_of(once, "net.py", ["Net.apart"])[which]
    assert replaced(once, again, content(once, again)) == once


PIECES = (
    "x = 1",
    "if x:\n    x = 2\nelse:\n\tx = 3",
    "# a word",
    "",
    's = """\n a\n\tb\n"""',
    "def f(a):\n  return (a,\n1)",
    "x = \\\n  4",
)


@given(
    st.lists(st.sampled_from(PIECES), max_size=5), st.sampled_from(["", "    ", "\t", "        "])
)
def test_what_is_put_in_comes_out(pieces: list[str], indent: str) -> None:
    new = "\n".join(["y = 0", *pieces]).rstrip("\n") + "\n"
    lines = ("# EVOLVE-BLOCK-START a", "z = 1", "# EVOLVE-BLOCK-END", "")
    text = ("if 1:\n" if indent else "") + "\n".join(indent + line for line in lines)
    (region,) = regions_of(text, "net.py", ())
    child = replaced(text, region, new)
    assert texts(child) == {"a": new}
    assert child.endswith(f"\n{indent}# EVOLVE-BLOCK-END\n{indent}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# EVOLVE-BLOCK-START a\n# EVOLVE-BLOCK-START b\n", "2 opens a region inside another"),
        ("x = 1\n# EVOLVE-BLOCK-END\n", "2 closes a region that was not opened"),
        ("# EVOLVE-BLOCK-START two words\n# EVOLVE-BLOCK-END\n", "2 closes"),
        ("# EVOLVE-BLOCK-START a\nx = 1\n", "'a' of net.py is not closed"),
        ("# EVOLVE-BLOCK-START a\n# none\n# EVOLVE-BLOCK-END\n", "'a' .* holds no statement"),
        ("if 1:\n# EVOLVE-BLOCK-START a\n  x = (\n# EVOLVE-BLOCK-END\n  1)", "'a' .* no Python"),
    ],
)
def test_markers_that_do_not_fit_are_refused(text: str, words: str) -> None:
    with pytest.raises(GenomeError, match=words):
        regions_of(text, "net.py", ())


@pytest.mark.parametrize("rest", ["    z = 2", "z = 2", "      z = 2", "    else:\n        z = 2"])
def test_a_region_does_not_reach_left_of_where_it_begins(rest: str) -> None:
    text = (
        "def f(x):\n    if x:\n        # EVOLVE-BLOCK-START a\n        y = 1\n"
        f"{rest}\n# EVOLVE-BLOCK-END\n"
    )
    with pytest.raises(GenomeError, match=r"further left than its first line|no Python"):
        regions_of(text, "net.py", ())


def test_a_marker_in_a_string_opens_nothing() -> None:
    text = 'x = """\n# EVOLVE-BLOCK-START a\ny = 1\n# EVOLVE-BLOCK-END\n"""\n'
    assert regions_of(text, "net.py", ()) == []


@pytest.mark.parametrize(
    ("functions", "words"),
    [
        (["Net.forward"], "'body' and 'Net.forward' of net.py overlap"),
        (["Net.apart", "Net.apart.inner"], "'Net.apart' and 'Net.apart.inner' .* overlap"),
        (["nothing"], "no function 'nothing'"),
        (["Net"], "no function 'Net'"),
        (["Net.apart.nothing"], "no function 'Net.apart.nothing'"),
        (["WIDTH"], "no function 'WIDTH'"),
    ],
)
def test_functions_that_do_not_fit_are_refused(functions: list[str], words: str) -> None:
    with pytest.raises(GenomeError, match=words):
        regions_of(FILE, "net.py", functions)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("", "holds no statement"),
        ("# gone\n", "holds no statement"),
        ("x = 1\n# EVOLVE-BLOCK-END\nprint()", "leave markers where they are"),
        ("x = '''", "no Python"),
        ("x = (1", "no Python"),
        ("x = 1 \\", "no Python"),
        ("x = 1)\nprint((2", "no Python"),
        ("    x = 1\ny = 2", "no Python"),
        ("x = 1\u2028print()", r"U\+2028"),
        ("x = 1\r\nprint()", r"U\+000D"),
    ],
)
def test_what_cannot_stand_alone_cannot_stand_there(new: str, words: str) -> None:
    (region, *_) = regions_of(FILE, "net.py", ())
    with pytest.raises(GenomeError, match=f"The new region 'head' of net.py .*{words}"):
        replaced(FILE, region, new)


@pytest.mark.parametrize(
    "new", ["apart = None", "def other():\n    pass", "def apart():\n    pass\nx = 1"]
)
def test_a_function_stays_the_one_function(new: str) -> None:
    region = regions_of(FILE, "net.py", ["Net.apart"])[-1]
    with pytest.raises(GenomeError, match="must be the one function 'apart', whole"):
        replaced(FILE, region, new)
    kept = replaced(FILE, region, "# said before\n@staticmethod\nasync def apart():\n    pass")
    assert re.search(r"\n    # said before\n    @staticmethod\n    async def apart", kept)
