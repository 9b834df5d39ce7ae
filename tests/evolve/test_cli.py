"""The command line: what it says, what it refuses with status 2 and one line, its stdout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

import evolve
from evolve import cli
from evolve.store.run import Run

REPOSITORY = Path(__file__).resolve().parents[2]

EXPERIMENT = '''
"""A sphere, with a genome of its own."""
import os
from dataclasses import dataclass
from evolve import Experiment, Genetic, Score, Steady
from evolve.genomes.vector import Box, Vector
from fitness.problems import Problem, sphere
from operators.selection import Tournament, Truncation
from operators.vector import GaussianMutation

class Mine(Vector):
    """Known to this file only."""

@dataclass(frozen=True)
class Loud(Problem):
    """Talks on stdout, as libraries do."""

    def evaluate(self, genomes, rung, seed):
        print("printed noise")
        os.write(1, b"written noise\\n")
        return super().evaluate(genomes, rung, seed)

box = Box.of(-1.0, 1.0, 3)
problem = Loud(sphere, seconds=SECONDS)

def search():
    return Genetic(
        founders=[Mine(box.low, box), Mine(box.high, box)],
        operators=[GaussianMutation()],
        selection=Truncation(),
        mating=Tournament(),
        objectives=problem.objectives,
        size=4,
        pace=Steady(4),
    )

experiment = Experiment("sphere", search, problem, births=12)
'''


class Said(NamedTuple):
    status: int
    out: str
    err: str


Evolve = Callable[..., Said]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Evolve:
    """`evolve ...` in this process; our stdout is pytest's."""
    before, path = set(sys.modules), list(sys.path)

    def forget() -> None:
        for name in set(sys.modules) - before:
            if (vars(sys.modules[name]).get("__file__") or "").startswith("/tmp"):
                del sys.modules[name]
        sys.path[:] = path

    def evolve_(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["evolve", *map(str, words)])
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a second is too coarse a clock
        monkeypatch.setattr(cli, "_own_stdout", nullcontext)
        monkeypatch.setattr(cli, "OUT", Console(file=sys.stdout, highlight=False, width=80))
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as left:
                cli.main()
        finally:
            forget()
        out, err = capfd.readouterr()
        return Said(int(left.value.code or 0), out, err)

    return evolve_


def slow(*words: object, cwd: Path | None = None) -> Said:
    """`evolve ...` in a process of its own."""
    command = [sys.executable, "-m", "evolve.cli", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )
    return Said(done.returncode, done.stdout, done.stderr)


def assert_refused(said: Said, *words: str) -> None:
    assert said.status == 2, said
    assert said.err.startswith("evolve: "), said.err
    assert said.err.count("\n") == 1, said.err
    for each in words:
        assert each in said.err


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "code" / "sphere_experiment.py"
    path.parent.mkdir()
    path.write_text(EXPERIMENT.replace("SECONDS", "0.0"))
    return path


# --- in this process -------------------------------------------------------------------------


def test_a_run_from_beginning_to_end(quick: Evolve, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = quick("run", file, "--births", 9, "--seed", 5, "--workers", 0, "--out", out)
    assert said.status == 0, said
    assert f"sphere: 9 births in this process (no timeout is enforced), in {out}\n" in said.out
    assert "9/9 births" in said.out
    assert f"More: evolve show {out}\n" in said.out
    assert "sealed" not in said.out
    facts = evolve.load(out).facts
    assert (facts["births"], facts["seed"], facts["file"]) == (9, 5, str(file))

    shown = quick("show", out)
    assert shown.status == 0, shown
    assert "9 of 9 births told, finished; seed 5, ordered, window 4" in shown.out
    document = json.loads(quick("show", out, "--json").out)
    assert (document["told"], document["knee"]) == (9, document["best"]["f1"])

    longer = quick("resume", out, "--births", 12, "--workers", 0)
    assert longer.status == 0, longer
    assert "12/12 births" in longer.out
    whole = tmp_path / "whole"
    assert quick("run", file, "--seed", 5, "--workers", 0, "--out", whole).status == 0
    assert Run.at(out).digest == Run.at(whole).digest


def test_the_default_directory_is_named_after_the_experiment(
    quick: Evolve, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert quick("run", file, "--births", 2, "--workers", 0).status == 0
    assert (tmp_path / "runs" / "sphere" / "ledger.sqlite").exists()


def test_check_says_what_can_be_known(quick: Evolve, file: Path) -> None:
    said = quick("check", file, "--workers", 0)
    assert said.status == 0, said
    for line in ("sphere: 12 births, seed 0", "f1 (minimised)", "4 births in flight", "f1 3"):
        assert line in said.out
    assert "warning" not in said.out


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("missing.py", None, ["missing.py is not a Python file"]),
        ("notes.txt", "", ["notes.txt is not a Python file"]),
        ("empty_one.py", "x = 1", ["has no `experiment`", "define `experiment = Experiment("]),
        ("wrong_kind.py", "experiment = 3", ["`experiment` is a <class 'int'>"]),
        ("json.py", "experiment = 3", ["json.py shadows the module 'json'", "rename it"]),
        ("antigravity.py", "", ["shadows the module 'antigravity'"]),
        ("numpy.py", "", ["shadows the module 'numpy'"]),
        ("evolve.py", "", ["shadows the module 'evolve'"]),
        ("operators.py", "", ["shadows the module 'operators'"]),
        ("my-merge.py", "", ["is not an identifier", "my_merge.py"]),
        ("3d.py", "", ["3d.py cannot be imported: its name is not an identifier"]),
        ("broken_code.py", "import no_such_module_at_all", ["ModuleNotFoundError: No module"]),
        ("broken_syntax.py", "def", ["cannot be imported: SyntaxError"]),
    ],
)
def test_experiment_files_that_cannot_be_run(
    quick: Evolve, tmp_path: Path, command: str, name: str, text: str | None, words: list[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert_refused(quick(command, tmp_path / name, "--workers", 0), *words)
    assert not (tmp_path / "runs").exists()


def test_operators_in_the_experiments_folder_are_refused(
    quick: Evolve, file: Path, tmp_path: Path
) -> None:
    (file.parent / "fitness").mkdir()
    (file.parent / "fitness" / "__init__.py").write_text("")
    said = slow("run", file, "--workers", 0, "--out", tmp_path / "run")
    assert said.status != 0
    assert f"`import fitness` finds {file.parent / 'fitness'}" in said.err
    assert not (tmp_path / "run").exists()


def test_directories_that_are_taken(quick: Evolve, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = ("run", file, "--births", 2, "--workers", 0, "--out")
    assert quick(*run, out).status == 0
    before = Run.at(out).digest
    assert_refused(quick(*run, out), f"{out} already holds a run; resume it")
    assert_refused(quick(*run, file.parent), "exists and is not empty")
    assert_refused(quick(*run, file), f"Cannot make the run directory {file}")
    assert Run.at(out).digest == before


def test_a_window_too_small_for_the_workers(quick: Evolve, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = quick("run", file, "--workers", 5, "--out", out)
    assert_refused(said, "at most 4 births in flight, too few for 5 workers")
    assert_refused(quick("check", file, "--workers", 5), "raise the search's window")
    assert_refused(quick("run", file, "--workers", 0, "--address", "auto", "--out", out), "--wor")
    assert not (out / "ledger.sqlite").exists() or Run.at(out).records == []


@pytest.mark.parametrize(
    ("final", "words"),
    [
        ("Final(Problem(zdt1, 2))", "('f2', False)], Experiment.fitness [('f1', False)]; the"),
        ("Final(problem, {'soup': []})", "Final.baselines has no candidate for 'soup'"),
    ],
)
def test_a_final_test_that_cannot_be_done_is_known_before_any_work(
    quick: Evolve, file: Path, tmp_path: Path, final: str, words: str
) -> None:
    text = file.read_text().replace("births=12", f"births=12, final={final}")
    file.write_text(f"from evolve import Final\nfrom fitness.problems import zdt1\n{text}")
    assert_refused(quick("check", file, "--workers", 0), words)
    assert_refused(quick("run", file, "--workers", 0, "--out", tmp_path / "run"), words)
    assert not (tmp_path / "run").exists()


def test_resume_looks_at_the_file(quick: Evolve, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert quick("run", file, "--births", 4, "--workers", 0, "--out", out).status == 0
    resume = ("resume", out, "--births", 6, "--workers", 0)
    text = file.read_text()
    file.write_text(text + "# a remark\n")
    assert_refused(quick(*resume), f"{file}, or a module", "has changed", "--accept-changes")
    assert json.loads(quick("show", out, "--json").out)["told"] == 4
    assert quick(*resume, "--accept-changes").status == 0
    file.write_text(text.replace('"sphere"', '"other"'))
    assert_refused(quick(*resume, "--accept-changes"), "was begun with name = sphere", "has other")
    file.write_text(text.replace("Steady(4)", "Steady(5)"))
    assert_refused(quick(*resume, "--accept-changes"), "begun with window = 4")
    file.unlink()
    assert_refused(quick(*resume), f"{out} was begun with {file}, which is gone; put it back")
    (moved := tmp_path / "else" / file.name).parent.mkdir()
    moved.write_text(text + "# a remark\n")
    assert quick(*resume, "--file", moved).status == 0
    moved.unlink()
    # The genome's class was in the file: without it the run cannot be read, and says so.
    assert_refused(quick("show", out), "'sphere_experiment:Mine' cannot be imported")


def test_runs_that_are_none(quick: Evolve, tmp_path: Path) -> None:
    for command in ("resume", "show", "export"):
        said = quick(command, tmp_path / "missing")
        assert_refused(said, f"{tmp_path / 'missing'} holds no run")


def test_a_run_begun_from_python_is_resumed_there(
    quick: Evolve, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evolve.engine.source import load_experiment

    monkeypatch.setattr(sys, "path", list(sys.path))
    evolve.run(load_experiment(file), tmp_path / "run")
    del sys.modules[file.stem]
    said = quick("resume", tmp_path / "run")
    assert_refused(said, "was begun from Python", "evolve.run(experiment, ", "resume=True")


@pytest.mark.parametrize(
    ("pick", "words"),
    [
        ("nonsense", "Cannot pick 'nonsense'; give knee, best:OBJECTIVE or birth:N"),
        ("best:speed", "No objective 'speed'; this run has f1"),
        ("birth:99", "has no scored birth 99; births 0 to 2 were told"),
    ],
)
def test_picks_that_make_no_sense(
    quick: Evolve, file: Path, tmp_path: Path, pick: str, words: str
) -> None:
    out = tmp_path / "run"
    assert quick("run", file, "--births", 3, "--workers", 0, "--out", out).status == 0
    assert_refused(quick("export", out, "--pick", pick, "--to", tmp_path / "x"), words)
    assert not (tmp_path / "x").exists()


SHELF = """
from evolve import Final
class Shelf:
    def export(self, record, to, story):
        to.mkdir()
        (to / "README.md").write_text(f"\\n## Notes\\n\\n- of {record.birth}\\n")
"""


def test_export_asks_our_own_exporter(quick: Evolve, file: Path, tmp_path: Path) -> None:
    text = file.read_text()
    file.write_text(
        SHELF + text.replace("births=12", "births=4, final=Final(problem, {}, Shelf())")
    )
    out = tmp_path / "run"
    said = quick("run", file, "--workers", 0, "--out", out)
    assert f"The knee is exported to {out / 'export'}\nNote: of " in said.out
    assert "\nNote: of 1\n" in quick("export", out, "--pick", "birth:1").out
    assert (out / "birth-1" / "README.md").exists()
    file.write_text(text + "\ndel experiment\n")
    said = quick("export", out, "--pick", "birth:2")
    assert "own exporter cannot be had" in said.out
    assert_refused(said, "Mine has no exporter")


def test_failed_births_are_counted_by_reason(quick: Evolve, file: Path, tmp_path: Path) -> None:
    text = file.read_text().replace(
        "        return super()", "        int('x')\n        return super()"
    )
    file.write_text(text)
    said = quick("run", file, "--births", 5, "--workers", 0, "--out", tmp_path / "run")
    assert said.status == 0, said
    assert "5 births failed; 5 of them: exception: ValueError: invalid literal" in said.out


@pytest.mark.parametrize(
    "words",
    [["fly"], ["run"], ["run", "x.py", "--births", "0"], ["run", "x.py", "--workers", "-1"],
     ["run", "x.py", "--seed", "one"], ["show", "x", "--yaml"]],
)  # fmt: skip
def test_usage_errors_are_status_two_without_a_traceback(quick: Evolve, words: list[str]) -> None:
    said = quick(*words)
    assert said.status == 2
    assert "Traceback" not in said.out + said.err
    assert "Usage" in said.out + said.err


# --- in processes of their own ---------------------------------------------------------------


@pytest.mark.slow
def test_stdout_is_ours_alone(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = slow("run", file, "--workers", 0, "--out", out, cwd=tmp_path)
    assert said.status == 0, said.err
    assert "noise" not in said.out
    assert said.err.count("printed noise") == said.err.count("written noise") == 12
    shown = slow("show", out, "--json", cwd=tmp_path)
    assert json.loads(shown.out)["told"] == 12
    assert shown.err == ""
    wrong = slow("show", tmp_path / "no[/b]where")
    assert_refused(wrong, "no[/b]where holds no run")
    assert wrong.out == ""


def test_help_is_on_stdout() -> None:
    said = slow("--help")
    assert (said.status, said.err) == (0, "")
    for command in ("run", "check", "resume", "show", "export"):
        assert command in said.out


@pytest.mark.slow
def test_control_c_stops_cleanly_and_says_how_to_go_on(
    quick: Evolve, file: Path, tmp_path: Path
) -> None:
    file.write_text(file.read_text().replace("seconds=0.0", "seconds=0.2"))
    out = tmp_path / "run"
    command = [sys.executable, "-u", "-m", "evolve.cli", "run", str(file), "--workers", "0"]
    with subprocess.Popen(
        [*command, "--out", str(out)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        for _ in range(4):  # two births are under way
            process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate()
    assert process.returncode == 130
    assert said.splitlines()[-1].endswith(f"Go on with: evolve resume {out}")
    assert "Traceback" not in errors
    done = Run.at(out).outcomes["scored"]
    assert 1 <= done < 12
    resumed = quick("resume", out, "--workers", 0)
    assert resumed.status == 0, resumed
    assert "12/12 births" in resumed.out
