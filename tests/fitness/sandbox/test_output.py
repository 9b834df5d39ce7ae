from __future__ import annotations

from pathlib import Path

import pytest

from fitness.sandbox.output import Output, forms, printable, renamed


def test_what_fits_is_kept_whole() -> None:
    output = Output(10)
    for part in (b"abc", b"", b"defgh", b"ij"):
        output.add(part)
    assert output.text() == "abcdefghij"


def test_of_the_rest_the_beginning_and_the_end() -> None:
    output = Output(6)
    for i in range(10):
        output.add(str(i).encode() * 100)
    assert output.text() == "000\n... 994 bytes left out ...\n999"


def test_a_terminal_has_nothing_to_obey() -> None:
    assert printable("a\tb\n\x1b[2J\u202e\ud800é") == "a\tb\n\ufffd[2J\ufffd\ufffdé"
    output = Output(100)
    output.add(b"\xff\x1b")
    assert output.text() == "\ufffd\ufffd"


def test_a_directory_has_both_its_paths_and_one_name(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "a-link").symlink_to(real)
    box = str(tmp_path / "a-link" / "evolve-box-1-ab")
    found = forms(box)
    assert set(found) == {box, f"{real}/evolve-box-1-ab"}
    assert renamed(f"{found[0]}/m.py {found[1]} {real}", found) == f"/box/m.py /box {real}"
    assert forms("/box") == ()


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_path_is_replaced_however_it_arrives(size: int) -> None:
    printed = b"/t/e-1 in /private/t/e-1/m.py, /t/e-2 /t/t/e-1 /private/t/e-"
    output = Output(1000, ("/private/t/e-1", "/t/e-1"))
    for start in range(0, len(printed), size):
        output.add(printed[start : start + size])
    assert output.text() == "/box in /box/m.py, /t/e-2 /t/box /private/t/e-"


def test_what_is_left_out_does_not_depend_on_the_path() -> None:
    texts = []
    for box in ("/scratch/e-1", "/scratch/e-22222"):
        output = Output(20, (box,))
        for _ in range(10):
            output.add(f"{box}/m.py\n".encode())
        texts.append(output.text())
    assert texts == ["/box/m.py\n\n... 80 bytes left out ...\n/box/m.py\n"] * 2
