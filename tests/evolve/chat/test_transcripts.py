from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from evolve.chat.transcripts import NAME, Attempt, Exchange, Transcripts
from evolve.errors import StoreError

ONE = Exchange("a", {"model": "m"}, "yes\n日\u2028", None, 3, 5, charged=8, cost=0.5)
LOST = Exchange(
    "b", {"model": "m"}, None, "timeout", charged=90, attempts=(Attempt("timeout", "late", 90),)
)


def test_a_line_reads_as_what_was_written() -> None:
    for exchange in (ONE, LOST, replace(ONE, estimated=True, overrun=7, replayed=True)):
        line = exchange.as_line()
        assert Exchange.of_line(line) == exchange
        assert line.count(b"\n") == 1


@pytest.mark.parametrize("on_disk", [True, False])
def test_exchanges_are_found_and_charges_summed(tmp_path: Path, on_disk: bool) -> None:
    kept = Transcripts(tmp_path / "deep" / NAME if on_disk else None)
    assert kept.find("a") is None
    kept.append(ONE)
    kept.append(LOST)
    found = kept.find("a")
    assert found is not None
    assert found.reply == ONE.reply
    assert kept.charged() == (98, 0.5)
    if on_disk:
        again = Transcripts(tmp_path / "deep" / NAME)
        assert again.find("b") == replace(LOST, request={})
        assert again.charged() == (98, 0.5)


def test_an_answer_takes_the_place_of_a_failure_and_never_the_reverse(tmp_path: Path) -> None:
    kept = Transcripts(tmp_path / NAME)
    for exchange in (LOST, replace(LOST, reply="at last"), LOST):
        kept.append(exchange)
    found = kept.find("b")
    assert found is not None
    assert found.reply == "at last"
    assert kept.charged()[0] == 270


@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_torn_line_is_ignored_and_repaired(tmp_path: Path, cut: int) -> None:
    file = tmp_path / NAME
    file.write_bytes(ONE.as_line() + LOST.as_line()[:-cut])
    kept = Transcripts(file)
    assert kept.find("a") is not None
    assert kept.find("b") is None
    kept.append(replace(ONE, key="c"))
    assert file.read_bytes() == ONE.as_line() + replace(ONE, key="c").as_line()
    assert Transcripts(file).find("c") is not None


def test_a_line_in_the_middle_that_is_none_is_an_error_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / NAME
    for broken in (b"{}\n", b"[1]\n", b"???\n", b"\n"):
        file.write_bytes(ONE.as_line() + broken + LOST.as_line())
        with pytest.raises(StoreError, match=r"Line 2 of .* remove that line"):
            Transcripts(file).find("a")


def test_lines_of_an_earlier_process_and_a_new_file_are_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    kept, other = Transcripts(folder / NAME), Transcripts(folder / NAME)
    kept.append(ONE)
    other.append(LOST)
    assert kept.find("b") is not None
    assert kept.charged()[0] == 98
    shutil.rmtree(folder)
    assert kept.find("a") is None
    kept.append(LOST)
    assert kept.charged()[0] == 90
    assert Transcripts(folder / NAME).charged()[0] == 90


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="transcript"):
        Transcripts(tmp_path / "file" / NAME).append(ONE)
