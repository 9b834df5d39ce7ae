import pytest

from evolve.errors import FitnessError
from evolve.genomes.program.program import Program
from fitness.harness.box import INSIDE, Boxes, Refused, files_of, inside, module_of
from fitness.sandbox import Level, Limits
from tests.fitness.harness.tiny import SOURCE, START

PLAIN = Boxes(Limits(seconds=20), Level.PLAIN)


def test_the_normal_form_runs_beside_what_calls_it() -> None:
    files = files_of(START, START)
    assert files == {**START.normal, INSIDE: inside()}
    assert "EVOLVE-BLOCK" not in files["tiny.py"]


def test_a_changed_protected_part_is_refused() -> None:
    other = Program({"tiny.py": SOURCE.replace("cross_entropy", "nll_loss")})
    with pytest.raises(Refused, match=r"protected part differs.*change the regions network, rate"):
        files_of(other, START)


@pytest.mark.parametrize(
    ("files", "module"),
    [(("a.py",), "a"), (("parts/net.py", "a.py"), "parts.net")],
)
def test_the_first_file_is_the_module(files: tuple[str, ...], module: str) -> None:
    text = "# EVOLVE-BLOCK-START {}\nx = 1\n# EVOLVE-BLOCK-END\n"
    assert module_of(Program({f: text.format(f"r{i}") for i, f in enumerate(files)})) == module


@pytest.mark.parametrize("file", ["a.txt", INSIDE])
def test_other_first_files_are_refused(file: str) -> None:
    text = "# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n"
    with pytest.raises(FitnessError, match=r"give a \.py file first"):
        module_of(Program({file: text}))


def test_a_failure_says_when_and_keeps_the_traceback() -> None:
    files = {"a.py": "def go():\n    print('hello')\n    return 1 / 0\n"}
    with pytest.raises(Refused) as refused:
        PLAIN.ask("going", files, "a:go", {}, {})
    score = refused.value.score()
    assert score.error == "exception: while going: ZeroDivisionError: division by zero"
    assert "return 1 / 0" in score.notes["detail"]
    assert score.notes["output"] == "hello\n"
    assert score.notes["isolation"]
