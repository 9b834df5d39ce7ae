from __future__ import annotations

import pytest

from evolve.errors import GenomeError
from evolve.genome import digest
from evolve.genomes.program.edits import changed_regions, edited, rewritten
from evolve.genomes.program.program import Program

NET = '''"""A net."""
import math

# EVOLVE-BLOCK-START network
def build(width=8):
    layers = [width]
    return layers
# EVOLVE-BLOCK-END


class Training:
    rate = 0.1

    # EVOLVE-BLOCK-START schedule
    def at(self, step):
        if step:
            return self.rate
        return 0.0  # cold
    # EVOLVE-BLOCK-END


def score(width=8):
    return math.sqrt(width)
'''
PROGRAM = Program({"net.py": NET})
FUNCTIONS = Program({"a.py": "def f():\n    return 1\n\n\ndef g():\n    return 2\n"}, ("a.py:f",))


def edit(old: str, new: str) -> str:
    return f"<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"


def test_an_edit_changes_its_region_only() -> None:
    child = edited(PROGRAM, edit("    layers = [width]", "    layers = [width, width]"))
    assert child.files["net.py"] == NET.replace("layers = [width]", "layers = [width, width]")
    assert changed_regions(PROGRAM, child) == ("network",)


def test_edits_apply_one_after_the_other() -> None:
    answer = edit("    return layers", "    return layers[:1]") + edit(
        "    return layers[:1]", "    return layers * 2"
    )
    assert "return layers * 2" in edited(PROGRAM, answer).regions["network"]


@pytest.mark.parametrize("margin", ["", "    ", "        ", "            "])
def test_lines_match_up_to_one_indentation(margin: str) -> None:
    """As the file shows them, as the region does, and further left or right."""
    old = f"{margin}if step:   \n{margin}    return self.rate"
    new = f"{margin}if step > 2:\n{margin}    return self.rate / step"
    child = edited(PROGRAM, edit(old, new))
    wanted = NET.replace("if step:", "if step > 2:").replace("self.rate\n", "self.rate / step\n")
    assert child.files["net.py"] == wanted


def test_strings_keep_their_text_where_lines_are_moved() -> None:
    new = 'return """\nraw\n  text"""'
    child = edited(PROGRAM, edit("return 0.0  # cold", new))
    assert '        return """\nraw\n  text"""\n' in child.files["net.py"]


def test_lines_may_go_and_come() -> None:
    child = edited(PROGRAM, edit("    layers = [width]", ""))
    assert "layers = [" not in child.files["net.py"]
    longer = edited(PROGRAM, edit("    return layers", "    layers.append(1)\n    return layers"))
    assert "    layers.append(1)\n    return layers\n# EVOLVE" in longer.files["net.py"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (edit("    rate = 0.1", "    rate = 9.9"), "outside of the evolvable regions.*net.py"),
        (edit("    return layers\n# EVOLVE-BLOCK-END", "    return 1"), "outside of the evol"),
        (edit("return math.sqrt(width)", "return 1e9"), "outside of the evolvable regions"),
        (edit("    layers = [wide]", "    layers = []"), "nearest.*'layers = .width.'"),
        (edit("    layers =", "    layers = 2 *"), "matches no lines"),  # half a line
        (edit("if step:\nreturn self.rate", "return 1"), "matches no lines"),  # not one margin
        (edit("    layers = [width]", "    layers = [width] # two"), "nothing but comments"),
        (edit("    layers = [width]", "    layers = ["), "no Python"),
        (edit("    layers = [width]", "    # EVOLVE-BLOCK-END"), "marker"),
        (edit("    layers = [width]", "    layers = 1  # \u202e"), r"U\+202E"),
        (edit("    layers = [width]", "    lay\u200bers = 1"), r"U\+200B"),
        (edit("        if step:\n            return self.rate", "return 1"), "further left"),
        (edit("def build(width=8):\n    layers = [width]\n    return layers", ""), "deleted"),
    ],
)
def test_refuses_an_edit_and_says_why(answer: str, told: str) -> None:
    with pytest.raises(GenomeError, match=told):
        edited(PROGRAM, answer)


def test_refuses_an_edit_that_fits_two_places() -> None:
    twice = PROGRAM.swapped({"network": "a = 1\nb = 2\na = 1\n"})
    with pytest.raises(GenomeError, match=r"2 places \(line 1 of network, line 3 of network\)"):
        edited(twice, edit("a = 1", "a = 2"))
    across = PROGRAM.swapped({"network": "x = 1\n", "schedule": "x = 1\n"})
    with pytest.raises(GenomeError, match="line 1 of network, line 1 of schedule"):
        edited(across, edit("x = 1", "x = 2"))


def test_the_exact_place_wins_over_a_looser_one() -> None:
    two = PROGRAM.swapped({"network": "if 1:\n    a = 1\na = 1\n"})
    assert edited(two, edit("a = 1", "a = 2")).regions["network"] == "if 1:\n    a = 1\na = 2\n"


WIDE = "def build(width=8):\n    return [width] * 2\n"
LATE = "def at(self, step):\n    return step\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"Wider:\n```python network\n{WIDE}```\n",
        f"```python region=network\n{WIDE}```\n",
        f"```\n# EVOLVE-BLOCK-START network\n{WIDE}# EVOLVE-BLOCK-END\n```\n",
        f"# EVOLVE-BLOCK-START network\n{WIDE}# EVOLVE-BLOCK-END\n",
        "```python\n"
        + NET.replace("layers = [width]\n    return layers", "return [width] * 2")
        + "```",
    ],
    ids=["named", "said", "marked", "fence-less", "file"],
)
def test_a_rewrite_takes_whole_regions(answer: str) -> None:
    child = rewritten(PROGRAM, answer)
    assert changed_regions(PROGRAM, child) == ("network",)
    assert child.regions["network"] == WIDE
    assert child.protected == PROGRAM.protected


def test_a_rewrite_takes_several_regions() -> None:
    child = rewritten(PROGRAM, f"```python network\n{WIDE}```\n```python schedule\n{LATE}```\n")
    assert changed_regions(PROGRAM, child) == ("network", "schedule")
    assert "    def at(self, step):\n        return step\n" in child.files["net.py"]


def test_the_only_region_needs_no_name() -> None:
    assert "return 3" in rewritten(FUNCTIONS, "def f():\n    return 3\n").files["a.py"]
    whole = FUNCTIONS.files["a.py"].replace("1", "4")
    assert "return 4" in rewritten(FUNCTIONS, f"```python a.py\n{whole}```").files["a.py"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (f"```python\n{WIDE}```", "names none of the regions network, schedule"),
        ("I would make it wider.", "names none of the regions"),
        (f"```python network\n{WIDE}```\n```python network\n{WIDE}```", "given twice"),
        ("```python network\n```", "cannot be deleted"),
        (f"```python network\n{WIDE}", "not closed"),
        (f"```python\n{NET}```", "nothing but comments"),
        (f"```python\n{NET.replace('0.1', '9.9')}```", "protected lines of net.py: '    rate = 9"),
        (f"```python net.py\n{NET.split('class')[0]}```", r"'\(nothing\)' stands where"),
        (f"```python net.py\n{NET}evil = 1\n```", r"'evil = 1' stands where '\(nothing\)'"),
        ("```python net.py\nbuild = 1\n```", "protected lines"),
        (f"# EVOLVE-BLOCK-START other\n{WIDE}# EVOLVE-BLOCK-END\n", "no region 'other'"),
        ("```python network\nx = '\u2066'\n```", r"U\+2066"),
    ],
)
def test_refuses_a_rewrite_and_says_why(answer: str, told: str) -> None:
    with pytest.raises(GenomeError, match=told):
        rewritten(PROGRAM, answer)


def test_refuses_a_whole_file_without_a_name_among_several() -> None:
    two = Program({"net.py": NET, "b.py": "# EVOLVE-BLOCK-START b\nx = 1\n# EVOLVE-BLOCK-END\n"})
    with pytest.raises(GenomeError, match=r"one of net.py, b.py"):
        rewritten(two, f"```python\n{NET}```")
    assert rewritten(two, f"```python net.py\n{NET.replace('[width]', '[1]')}```").regions["b"]


def test_refuses_another_function_than_the_evolvable_one() -> None:
    with pytest.raises(GenomeError, match="must be the one function 'f'"):
        rewritten(FUNCTIONS, "def h():\n    return 3\n")


def test_programs_of_other_starts_have_no_common_regions() -> None:
    with pytest.raises(GenomeError, match="different protected text"):
        changed_regions(PROGRAM, FUNCTIONS)


def test_a_comment_is_no_change() -> None:
    noted = PROGRAM.swapped({"network": "# why\n" + PROGRAM.regions["network"]})
    assert changed_regions(PROGRAM, noted) == ()
    assert digest(noted) == digest(PROGRAM)
