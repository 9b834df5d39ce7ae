"""A run as text and as JSON: everything that is stored, and nothing eaten as markup."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console

from evolve.failure import Policy
from evolve.genomes.vector import Vector
from evolve.report.show import as_json, attempt_rows, credit, failures, quarantined, show
from evolve.score import Objective, Score
from evolve.store.ledger import Ledger
from evolve.store.run import Run
from tests.evolve.cases import F
from tests.evolve.report.runs import PLAIN, written


def text(run: Run[Vector], width: int = 120) -> str:
    file = StringIO()
    show(run, Console(file=file, width=width))
    return file.getvalue()


def test_json_says_all_and_is_strict(tmp_path: Path) -> None:
    run = written(tmp_path / "run", final=True)
    document = json.loads(json.dumps(as_json(run), allow_nan=False))
    assert document["told"] == 6
    assert document["digest"] == run.digest
    assert [row["birth"] for row in document["front"]] == [0, 1, 2]
    assert document["front"][0]["values"] == {"f": 0.0, "g": 10.0}
    assert document["front"][0]["metrics"] == {"size": 3.0, "perplexity": None}
    assert document["front"][2]["parents"] == [0, 1]
    assert document["best"] == {"f": 0, "g": 1}
    assert document["knee"] == 2
    assert document["outcomes"] == {"scored": 5, "exception": 1}
    assert document["policy"] == {**vars(Policy()), "timeout": 7}
    assert (document["fenced"], document["quarantined"]) == (0, [])
    assert document["facts"]["name"] == "test"
    soup, knee, failed = document["final"]
    assert (soup["validation"], soup["test"]) == ({"f": 5.0, "g": 5.0}, {"f": 6.0, "g": 6.0})
    assert (knee["name"], knee["role"], knee["birth"]) == ("knee", "pick", 2)
    assert failed["test"] == {}


def test_json_of_a_run_without_a_front(tmp_path: Path) -> None:
    document = as_json(written(tmp_path / "run", PLAIN[-2:]))
    assert (document["front"], document["best"], document["knee"]) == ([], {}, None)
    assert document["final"] == []


def test_credit_counts_births_failures_and_the_front(tmp_path: Path) -> None:
    assert credit(written(tmp_path / "run")) == {
        "[blend]": {"births": 4, "failed": 1, "on the front": 1},
        "founder": {"births": 2, "failed": 0, "on the front": 2},
    }


def test_failures_are_counted_by_their_words(tmp_path: Path) -> None:
    lost = [Score.failed("timeout: 3 s"), Score.failed("timeout: 3 s"), Score.failed("x")]
    run = written(tmp_path / "run", [PLAIN[0], *lost])
    assert failures(run.records) == {"timeout: 3 s": 2, "x": 1}


def test_a_long_list_of_failures_is_cut_after_the_commonest(tmp_path: Path) -> None:
    lost = [Score.failed(f"exception: gene {n:02}") for n in range(30)]
    shown = text(written(tmp_path / "run", [PLAIN[0], *lost, lost[-1]]))
    assert "18 other reasons" in shown
    assert shown.count("exception: gene") == 12
    assert "gene 29" in shown


def test_poison_genomes_are_listed_once(tmp_path: Path) -> None:
    lost = [
        Score.failed("timeout: 3 s"),
        Score.failed("exception: x"),
        Score.failed("node lost: y"),
    ]
    run = written(tmp_path / "run", [PLAIN[0], *lost])
    twin = replace(run.records[1], birth=9)
    assert [r.birth for r in quarantined([*run.records, twin])] == [1, 3]
    assert [row["birth"] for row in as_json(run)["quarantined"]] == [1, 3]
    assert as_json(run)["quarantined"][0]["error"] == "timeout: 3 s"
    assert "Genomes in quarantine: 2 (births 1, 3)." in text(run)


def test_late_results_are_counted(tmp_path: Path) -> None:
    run = written(tmp_path / "run")
    with closing(Ledger.open(run.path, write=True)) as ledger:
        for _ in range(2):  # of one attempt
            assert not ledger.ended(3, 1, 1, "scored", "w")
    assert as_json(Run.at(run.path))["fenced"] == 1
    assert "Late results fenced: 1;" in text(Run.at(run.path))


def test_the_policy_stands_beside_what_happened(tmp_path: Path) -> None:
    lines = [" ".join(line.strip("│ ").replace("│", " ").split())
             for line in text(written(tmp_path / "run")).splitlines()]  # fmt: skip
    begun = lines.index("how attempts ended")
    assert lines[begun + 4 : begun + 12] == [
        "scored 5", "worker lost 0 3", "node lost 0 5", "out of memory 0 2", "timeout 0 7",
        "exception 1 2", "invalid 0 1", "infertile 0 3",
    ]  # fmt: skip


def test_attempts_without_a_policy_and_of_other_outcomes() -> None:
    outcomes = {
        "in flight": 2,
        "varied": 1,
        "timeout in a batch": 3,
        "driver lost": 4,
        "timeout": 5,
    }
    assert attempt_rows(outcomes, None) == [
        ["in flight", "2", ""],
        ["varied", "1", ""],
        ["timeout in a batch", "3", ""],
        ["driver lost", "4", "free"],
        ["timeout", "5", ""],
    ]


def test_text_says_where_it_stands(tmp_path: Path) -> None:
    run = written(tmp_path / "run", final=True, name="[bold]merge[/bold] [/x]")
    shown = text(run)
    assert shown.startswith("[bold]merge[/bold] [/x] in ")
    assert "6 of 6 births told, finished; seed 0, ordered, window 8" in shown
    assert run.digest[:16] in shown
    assert "front: 3 records" in shown
    for line in ("knee", "best f", "best g", "[blend]", "soup [/i]", "failed: timeout: [/x]"):
        assert line in shown
    assert "exception: ValueError: [/b] no [red]luck[/red]" in shown
    assert "sealed test split" in shown


def test_one_record_can_be_all_of_it(tmp_path: Path) -> None:
    shown = text(written(tmp_path / "run", PLAIN[:1]))
    assert "knee, best f, best g" in shown
    assert "failures" not in shown
    assert "sealed" not in shown


def test_a_long_front_is_cut_but_its_marks_are_kept(tmp_path: Path) -> None:
    scores = [Score((float(n), float(30 - n))) for n in range(31)]
    shown = text(written(tmp_path / "run", scores))
    assert "front: 31 records, 19 not shown" in shown
    assert "best g" in shown  # birth 30, far beyond the twelve shown by number


def test_a_run_with_nothing_told_can_be_shown(tmp_path: Path) -> None:
    shown = text(written(tmp_path / "run", []))
    assert "0 of 0 births told, not finished" in shown


def test_a_narrow_terminal_is_no_crash(tmp_path: Path) -> None:
    run = written(tmp_path / "run", PLAIN[:3], objectives=(*F, Objective("[/g]")))
    assert "[/g]" in text(run, width=80)
    text(run, width=20)
