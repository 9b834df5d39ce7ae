"""The command line: run, check, resume, show, export. Everything it does, the API does too."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from evolve.engine.hire import Options
from evolve.engine.surroundings import NAMES, surround
from evolve.errors import EvolveError, StoreError
from evolve.export.forms import Form, exporter_to
from evolve.levels.cli import levels_app

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Evolve model weights, compression profiles and architectures.",
)

File = Annotated[
    Path,
    typer.Argument(metavar="FILE.py[:NAME]", help="Defines `experiment`, or others by NAME."),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run.")]
Births = Annotated[int | None, typer.Option(min=1, help="Births instead of the experiment's.")]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", min=0, help="Ray workers; 0: this process; default: the cores."),
]
Address = Annotated[
    str | None, typer.Option(help="auto or HOST:PORT of a running Ray; default: one of our own.")
]
Elastic = Annotated[
    bool, typer.Option("--elastic", help="Nodes that can hold workers may come later.")
]
BackupTo = Annotated[
    str | None, typer.Option("--backup", help="Copy the run there while it goes: directory, URL.")
]
BaseUrl = Annotated[
    str | None, typer.Option("--llm-base-url", help="Of an OpenAI-compatible server.")
]
Model = Annotated[str | None, typer.Option("--llm-model", help="The language model to ask.")]
MaxTokens = Annotated[
    int | None, typer.Option("--llm-max-tokens", min=1, help="Stop before a run uses more.")
]
Replay = Annotated[
    Path | None, typer.Option("--llm-replay", help="Answer from a run's transcripts only.")
]
Isolation = Annotated[
    str | None,
    typer.Option("--require-isolation", help="Refuse to run evolved code with less, e.g. full."),
]


@app.command()
def run(
    file: File,
    births: Births = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the experiment's.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new directory; default runs/NAME.")] = None,
    workers: WorkersOption = None,
    address: Address = None,
    elastic: Elastic = False,
    backup: BackupTo = None,
    vault: Annotated[
        str | None, typer.Option(help="Where large arrays go: directory, URL; default OUT/vault.")
    ] = None,
    llm_base_url: BaseUrl = None,
    llm_model: Model = None,
    llm_max_tokens: MaxTokens = None,
    llm_replay: Replay = None,
    require_isolation: Isolation = None,
) -> None:
    """Run an experiment to its last birth, test the picks, export the winner."""
    from evolve.engine.source import load_experiment

    surround(_asked(llm_base_url, llm_model, llm_max_tokens, llm_replay, require_isolation))
    experiment = load_experiment(file)
    experiment = replace(
        experiment,
        births=experiment.births if births is None else births,
        seed=experiment.seed if seed is None else seed,
    )
    options = Options(_workers(workers, experiment), address, elastic, backup, vault)
    _conduct(experiment, out or Path("runs") / experiment.name, file, options)


@app.command()
def resume(
    path: RunPath,
    births: Births = None,
    workers: WorkersOption = None,
    address: Address = None,
    elastic: Elastic = False,
    backup: BackupTo = None,
    accept_changes: Annotated[
        bool, typer.Option(help="Go on although the experiment's code has changed.")
    ] = False,
    moved: Annotated[
        Path | None, typer.Option("--file", help="Where the experiment's file is now.")
    ] = None,
    llm_base_url: BaseUrl = None,
    llm_model: Model = None,
    llm_max_tokens: MaxTokens = None,
    llm_replay: Replay = None,
    require_isolation: Isolation = None,
) -> None:
    """Go on with a run that was stopped or killed; with --births, beyond its end."""
    import evolve
    from evolve.engine.source import file_of, load_experiment

    facts = evolve.load(path).facts
    asked = _asked(llm_base_url, llm_model, llm_max_tokens, llm_replay, require_isolation)
    surround(asked, facts.get("surroundings", {}))
    if facts["file"] is None and moved is None:
        raise StoreError(
            f"{path} was begun from Python; resume it there: evolve.run(experiment, "
            f"{str(path)!r}, resume=True)."
        )
    file = moved or Path(str(facts["file"]))
    if not file_of(file).is_file():
        raise StoreError(
            f"{path} was begun with {file}, which is gone; put it back, or say where it is now: "
            "--file."
        )
    experiment = replace(
        load_experiment(file),
        seed=int(cast("int", facts["seed"])),
        births=births or int(cast("int", facts["births"])),
    )
    options = Options(_workers(workers, experiment), address, elastic, backup)
    _conduct(experiment, path, file, options, resume=True, accept=accept_changes)


@app.command()
def check(
    file: File,
    workers: WorkersOption = None,
    address: Address = None,
    llm_base_url: BaseUrl = None,
    llm_model: Model = None,
    require_isolation: Isolation = None,
) -> None:
    """Find out everything that can be known before work; score one candidate in a worker."""
    from evolve.engine.check import examine
    from evolve.engine.source import load_experiment

    surround(_asked(llm_base_url, llm_model, None, None, require_isolation))
    experiment = load_experiment(file)
    options = Options(_workers(workers, experiment), address)
    for line in examine(experiment, file, options):
        _line(line)


@app.command()
def show(
    path: RunPath,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Redraw while it goes; Ctrl-C.")] = False,
) -> None:
    """Print a run: front, best, operators' credit, failures, final table."""
    if watch:
        from evolve.report.watch import watch as follow

        if as_json:
            raise typer.BadParameter("--watch is for people, --json for programs; give one.")
        follow(path, OUT)
        return
    from evolve.report import show as report

    found = _load(path)
    if as_json:
        _line(json.dumps(report.as_json(found), allow_nan=False))
    else:
        report.show(found, OUT)


@app.command()
def export(
    path: RunPath,
    pick: Annotated[str, typer.Option(help="best:OBJECTIVE, knee, or birth:N.")] = "knee",
    to: Annotated[
        Path | None, typer.Option(help="A new directory; default RUN/PICK, RUN/PICK-FORM.")
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option(help="Of a compression profile; default: what the experiment exports."),
    ] = None,
) -> None:
    """Write a candidate of a run as what other tools load."""
    from evolve.engine.story import story
    from evolve.export import exporter_for
    from evolve.export.card import notes

    found = _load(path)
    record = found.pick(pick)
    stem = pick if form is None else f"{pick}-{form}"
    target = to or path / stem.replace(":", "-")
    if form is None:
        exporter = _own_exporter(found) or exporter_for(record.genome, found)
    else:
        exporter = exporter_to(form, record.genome)
    exporter.export(record, target, story(found, record))
    _line(f"Exported birth {record.birth} to {target}")
    for note in notes(target):
        _line(f"Note: {note}")


OUT = Console(highlight=False)  # replaced by `main`: the real stdout
app.add_typer(levels_app(lambda: OUT), name="levels")


def main() -> None:
    """Entry point: our errors are one line on stderr and exit status 2."""
    # Help goes to the real stdout; no library has spoken yet.
    with nullcontext() if len(sys.argv) < 2 or "--help" in sys.argv else _own_stdout():
        try:
            app()
        except EvolveError as error:
            print(f"evolve: {error}", file=sys.stderr)
            sys.exit(2)


@contextmanager
def _own_stdout() -> Iterator[None]:
    """Keep stdout for us: what Ray and other libraries print there goes to stderr."""
    global OUT
    terminal = sys.stdout.isatty()
    ours = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    width = None if terminal else 120  # a file has no width; tables of three objectives fit
    OUT = Console(file=ours, force_terminal=terminal or None, highlight=False, width=width)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        ours.close()


def _conduct(
    experiment: Any,
    out: Path,
    file: Path,
    options: Options,
    *,
    resume: bool = False,
    accept: bool = False,
) -> None:
    from evolve.engine.run import conduct
    from evolve.report.live import Live

    begun = time.monotonic()
    count = options.workers
    where = "in this process (no timeout is enforced)" if count == 0 else f"on {count} Ray workers"
    _line(f"{experiment.name}: {experiment.births} births {where}, in {out}")
    for words in experiment.foretold():
        _line(words)
    try:
        with Live(OUT) as watcher:
            found = conduct(
                experiment, out, options, resume=resume, file=file, accept_changes=accept,
                births=experiment.births if resume else None, watcher=watcher,
            )  # fmt: skip
    except KeyboardInterrupt:
        _line(f"Stopped; nothing scored is lost. Go on with: evolve resume {out}")
        sys.exit(130)
    _finish(found, out, time.monotonic() - begun)


def _finish(found: Any, out: Path, seconds: float) -> None:
    from evolve.export.card import notes
    from evolve.report.picture import picture
    from evolve.report.show import failures, show_final

    _line(f"{len(found.records)} births told, front of {len(found.front)}, {seconds:.0f} s")
    lost = failures(found.records)
    for why, n in list(lost.items())[:1]:
        _line(f"{sum(lost.values())} births failed; {n} of them: {why}")
    if found.final:
        show_final(found, OUT)
    drawn = picture(found, out / "front.png")
    _line(drawn)
    if (out / "export").exists():
        _line(f"The knee is exported to {out / 'export'}")
        for note in notes(out / "export"):
            _line(f"Note: {note}")
    _line(f"More: evolve show {out}")


def _line(words: str) -> None:
    """One line on our stdout as it is: no markup, and paths unbroken."""
    OUT.print(words, markup=False, soft_wrap=True)


def _asked(
    url: str | None, model: str | None, tokens: int | None, replay: Path | None, level: str | None
) -> dict[str, object]:
    """The flags by the names that an experiment's file reads; see `engine.surroundings`."""
    where = None if replay is None else replay.resolve()
    values = (url, model, tokens, where, level)
    return {name: value for name, value in zip(NAMES, values) if value is not None}


def _load(path: Path) -> Any:
    """The run at `path`, with the folder of its experiment last on the path for its genomes."""
    import evolve

    found = evolve.load(path)
    surround({}, found.facts.get("surroundings", {}))
    if found.facts["file"] is not None:
        sys.path.append(str(Path(str(found.facts["file"])).parent))
    return found


def _own_exporter(found: Any) -> Any:
    """The exporter in the run's own experiment file; None where there is none to be had."""
    from evolve.engine.source import file_of, load_experiment

    file = found.facts["file"]
    if file is None or not file_of(Path(str(file))).is_file():
        return None
    try:
        final = load_experiment(Path(str(file))).final
    except EvolveError as error:
        _line(f"The experiment's own exporter cannot be had: {error}")
        return None
    return None if final is None else final.exporter


def _workers(asked: int | None, experiment: Any) -> int:
    """As many as asked for; by default what cores, devices and the experiment's window bear."""
    if asked is not None:
        return asked
    from evolve.engine.hire import fitnesses_of, largest

    needs = largest(fitnesses_of(experiment))
    most = int(_cores() / max(needs.cpus, 1e-9))
    if needs.gpus > 0:
        import torch

        most = min(most, int(torch.cuda.device_count() / needs.gpus))
    return max(1, min(most, int(experiment.window())))


def _cores() -> int:
    """The cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


if __name__ == "__main__":
    main()
