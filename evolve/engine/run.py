"""Conducting a run: from an experiment to a finished ledger and an exported winner."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from evolve.engine.final import check_final, conclude
from evolve.engine.fingerprint import changes, commit_of, fingerprint
from evolve.engine.loop import Loop
from evolve.engine.source import file_hash
from evolve.engine.workers import InProcess, Workers, one_thread
from evolve.errors import EvolveError, ExperimentError, StoreError
from evolve.experiment import Experiment, Free, Watcher
from evolve.genome import Genome, Json
from evolve.score import Fitness, G, Needs, Record
from evolve.store.ledger import Ledger
from evolve.store.run import Run
from evolve.streams import Stream, rng_for


class Silent:
    """A watcher that says nothing."""

    def started(self, experiment: Experiment[Any], births: int) -> None: ...
    def told(self, record: Record[Any]) -> None: ...
    def says(self, words: str) -> None: ...


def conduct(
    experiment: Experiment[G],
    out: Path,
    *,
    workers: int = 0,
    address: str | None = None,
    resume: bool = False,
    file: Path | None = None,
    accept_changes: bool = False,
    births: int | None = None,
    watcher: Watcher | None = None,
) -> Run[G]:
    """Run or resume `experiment` in `out`; see `evolve.run`. Raises `EvolveError`."""
    watcher = watcher or Silent()
    general = cast("Experiment[Genome]", experiment)
    search = general.search()
    check_window(general, workers)
    check_final(general)
    check_objectives(general)
    facts = _facts(general, file)
    ledger = Ledger.open(out, write=True) if resume else Ledger.create(out, facts)
    try:
        if resume:
            _same(facts, ledger, accept_changes)
            if differ := changes(ledger.facts.get("fingerprint"), fingerprint()):
                watcher.says(f"Versions differ from the run's first ({differ}): bits may differ.")
        total = births or _births(ledger)
        if total < (born := ledger.births()):  # what flies past the end would meet the final test
            raise ExperimentError(
                f"The run in {out} has begun {born} births; resume it with --births {born} or "
                "more."
            )
        if total != _births(ledger):
            ledger.set_fact("births", total)
        if total > born:  # the old end is none any more
            if (out / "export").exists():
                watcher.says(f"The old end's export is kept in {_set_aside(out, born)}.")
            ledger.unfinish()
        with_final = fitnesses_of(general)
        needs = largest(with_final)
        ledger.begin_epoch({**fingerprint(needs.gpus), "workers": workers, "address": address})
        watcher.started(experiment, total)
        ahead = "finished" not in ledger.facts
        try:
            if ahead:
                rng = rng_for(general.seed, 0, Stream.ASK)
                _warm(general.search().ask(0, rng).genome)
            crew = hire(with_final, workers, address, file)
        except EvolveError:
            if not resume:
                ledger.discard()  # nothing was born: the same command works once it can
            raise
        try:
            Loop(general, search, ledger, crew, total, watcher.told).run()
            if general.final is not None:
                watcher.says("Testing the picks and the baselines on the sealed split.")
                for group in general.final.baselines.values() if ahead else ():
                    _warm(group[0])
            conclude(general, ledger, crew)
        finally:
            crew.close()
        ledger.set_fact("finished", time.time())
    finally:
        ledger.close()
    run: Run[G] = Run.at(out)
    if experiment.final is not None and experiment.final.exporter is not None and run.front:
        from evolve.engine.story import story

        target = out / "export"
        if target.exists():
            watcher.says(f"{target} is kept as it is; a new one: evolve export {out} --to DIR")
        else:
            watcher.says(f"Exporting the knee to {target}.")
            experiment.final.exporter.export(run.knee(), target, story(run, run.knee()))
    return run


def hire(
    fitnesses: Sequence[Fitness[Any]], count: int, address: str | None, file: Path | None
) -> Workers:
    """The executor: this process for 0 workers, else Ray."""
    if count == 0:
        if address is not None:
            raise ExperimentError("An address needs Ray workers; give --workers 1 or more.")
        return InProcess(fitnesses)
    from evolve.engine.cluster import RayWorkers

    paths = [] if file is None else [file.resolve().parent]
    return RayWorkers(fitnesses, count, needs=largest(fitnesses), address=address, paths=paths)


def check_window(experiment: Experiment[Genome], workers: int) -> None:
    """Raise `ExperimentError` if the search lets too few births fly for the workers."""
    if workers < 0:
        raise ExperimentError(f"--workers is {workers}; give 0 (this process) or more.")
    batch = experiment.fitness.needs.batch
    window = experiment.window()
    if max(workers, 1) * batch > window:
        raise ExperimentError(
            f"The search keeps at most {window} births in flight, {workers} workers with "
            f"batches of {batch} need {max(workers, 1) * batch}; raise the search's window (it "
            "is part of the experiment, the result depends on it) or use fewer workers."
        )


def check_objectives(experiment: Experiment[Genome]) -> None:
    """Raise `ExperimentError` if the objectives cannot be told apart, or are none."""
    names = [objective.name for objective in experiment.fitness.objectives]
    if not names or len(set(names)) < len(names):
        raise ExperimentError(
            f"The fitness has the objectives {names}; give one or more, each with its own name."
        )


def fitnesses_of(experiment: Experiment[Any]) -> list[Fitness[Any]]:
    """What the workers must bear: the fitness, and that of the final test."""
    return [experiment.fitness] + ([experiment.final.fitness] if experiment.final else [])


def largest(fitnesses: Sequence[Fitness[Any]]) -> Needs:
    """The processors, devices and memory that bear every one of `fitnesses`."""
    needs = [fitness.needs for fitness in fitnesses]
    return Needs(
        cpus=max(each.cpus for each in needs),
        gpus=max(each.gpus for each in needs),
        memory=max(each.memory for each in needs),
    )


def _warm(genome: Genome) -> None:
    """Express a genome, outside any evaluation's clock, so that what genomes share is built.

    What the checkpoints or the disk do not allow is raised as `EvolveError`, before work;
    anything else is left to the evaluation, where it is a failed birth.
    """
    try:
        with one_thread():
            genome.express()
    except EvolveError:
        raise
    except Exception:
        pass  # the evaluation meets it again


def _set_aside(out: Path, births: int) -> Path:
    """Move the export of a run that goes on beyond its `births`; returns where to."""
    aside = out / f"export-{births}"
    try:
        return (out / "export").rename(aside)
    except OSError as error:
        raise StoreError(
            f"Cannot move {out / 'export'} to {aside}: {error}; move it yourself, then resume."
        ) from error


def _facts(experiment: Experiment[Genome], file: Path | None) -> dict[str, Json]:
    place = Path.cwd() if file is None else file.resolve().parent
    return {
        "name": experiment.name,
        "seed": experiment.seed,
        "births": experiment.births,
        "order": "free" if isinstance(experiment.order, Free) else "ordered",
        "objectives": [vars(objective) for objective in experiment.fitness.objectives],
        "rungs": list(experiment.fitness.rungs),
        "window": experiment.window(),
        "file": None if file is None else str(file.resolve()),
        "file_sha256": None if file is None else file_hash(file),
        "commit": commit_of(place),
        "fingerprint": fingerprint(largest(fitnesses_of(experiment)).gpus),
    }


def _births(ledger: Ledger) -> int:
    return int(cast("int", ledger.facts["births"]))


def _same(now: Mapping[str, Json], ledger: Ledger, accept: bool) -> None:
    """Refuse to resume what is another experiment now."""
    then = ledger.facts
    for key in ("name", "seed", "order", "objectives", "rungs", "window"):
        if now[key] != then[key]:
            raise ExperimentError(
                f"The run in {ledger.folder} was begun with {key} = {then[key]}, the experiment "
                f"now has {now[key]}; restore it, or begin a new run."
            )
    known = now["file_sha256"] is not None  # begun or resumed from Python, there is no file
    if known and now["file_sha256"] != then["file_sha256"] and not accept:
        raise ExperimentError(
            f"{now['file'] or 'The experiment'} has changed since the run in {ledger.folder} "
            "began; restore it, begin a new run, or resume with --accept-changes."
        )
    if known and accept:
        ledger.set_fact("file_sha256", now["file_sha256"])
