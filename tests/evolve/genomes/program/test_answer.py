from __future__ import annotations

import pytest

from evolve.errors import GenomeError
from evolve.genomes.program.answer import Block, Edit, blocks_of, edits_of, spoken

GOOD = """<<<<<<< SEARCH
width = 8
=======
width = 16
>>>>>>> REPLACE"""


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"Wider is better:\n\n```python\n{GOOD}\n```\nThat is all.",
        f"A title\n=======\n\n{GOOD}",  # a divider outside of a block is text
        GOOD.replace("\n", "\r\n"),
        "<think>\n<<<<<<< SEARCH\nnot this\n</think>\n" + GOOD,
        GOOD.replace("width = 8", "\n```python\nwidth = 8\n```\n"),
        GOOD.replace("<<<<<<< SEARCH", "<<<<<<SEARCH").replace(">>>>>>> ", "  >>>>>>"),
    ],
    ids=["plain", "fenced", "title", "crlf", "thought", "inner fence", "sloppy marks"],
)
def test_reads_an_edit(answer: str) -> None:
    assert edits_of(answer) == [Edit(("width = 8",), ("width = 16",))]


def test_reads_edits_in_order_and_removals() -> None:
    removal = "<<<<<<< SEARCH\na = 1\n\nb = 2\n=======\n>>>>>>> REPLACE"
    assert edits_of(f"{GOOD}\n{removal}")[1] == Edit(("a = 1", "", "b = 2"), ())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("Make it wider.", "no SEARCH/REPLACE block"),
        ("<<<<<<< SEARCH\na\n>>>>>>> REPLACE", "no ======= line"),
        ("a\n=======\nb\n>>>>>>> REPLACE", "no <<<<<<< SEARCH line"),
        ("<<<<<<< SEARCH\na\n=======\nb\n", "no >>>>>>> REPLACE line: the answer was cut off"),
        (f"<<<<<<< SEARCH\na\n=======\n{GOOD}", "not ended before the next"),
        ("<<<<<<< SEARCH\na\n=======\nb\n=======\nc\n>>>>>>> REPLACE", "two ======= lines"),
        (f"{GOOD}\n<<<<<<< SEARCH\n\n=======\nb\n>>>>>>> REPLACE", "block 2 searches for nothing"),
        ("<<<<<<< SEARCH\na\n=======\na\n\n>>>>>>> REPLACE", "with the same lines"),
    ],
)
def test_refuses_what_is_malformed(answer: str, told: str) -> None:
    with pytest.raises(GenomeError, match=told):
        edits_of(answer)


def test_reads_fenced_blocks_and_the_words_behind_the_fence() -> None:
    first = "Two:\n```python region=head\na = 1\n```\nand\n"
    answer = first + "~~~~ python:net.py\nb = '''\n~~~\n'''\n~~~~\n"
    assert blocks_of(answer) == [
        Block(("python", "region", "head"), "a = 1\n"),
        Block(("python", "net.py"), "b = '''\n~~~\n'''\n"),
    ]


def test_an_answer_without_a_fence_is_one_block() -> None:
    assert blocks_of("\na = 1\n\n") == [Block((), "a = 1\n")]


def test_refuses_a_block_that_is_cut_off() -> None:
    with pytest.raises(GenomeError, match="not closed: the answer was cut off"):
        blocks_of("```python\na = 1\n")


def test_what_was_thought_is_not_said() -> None:
    assert spoken("<think>hm\n</think>\nyes\r\nno") == "\nyes\nno"
