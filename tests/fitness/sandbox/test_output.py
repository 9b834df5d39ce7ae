from __future__ import annotations

from fitness.sandbox.output import Output, printable


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
