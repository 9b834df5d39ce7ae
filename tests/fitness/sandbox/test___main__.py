from __future__ import annotations

import pytest

from evolve.errors import IsolationError
from fitness.sandbox import Isolation, Level, __main__


def test_it_prints_what_was_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached = Isolation(Level.OTHER_USER, ("own user", "seccomp"), ("full: unshare: no",))
    monkeypatch.setattr(__main__, "isolation", lambda: reached)
    __main__.main()
    assert capsys.readouterr().out == (
        "level: other-user\n"
        "parts: own user, seccomp\n"
        "not blocked: files its user may open, other installed packages, number of its files\n"
        "not reached: full: unshare: no\n"
    )


def test_no_sandbox_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Isolation:
        raise IsolationError("The sandbox needs Linux")

    monkeypatch.setattr(__main__, "isolation", refuse)
    with pytest.raises(SystemExit, match="The sandbox needs Linux"):
        __main__.main()
