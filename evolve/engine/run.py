"""Conducting a run: from an experiment to a finished ledger and an exported winner."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, cast

from evolve.engine.copying import Copying
from evolve.engine.events import Event, Observer
from evolve.engine.final import check_final, conclude
from evolve.engine.fingerprint import changes, commit_of, fingerprint
from evolve.engine.hire import HERE, Options, fitnesses_of, hire, largest
from evolve.engine.log import Log
from evolve.engine.loop import Loop
from evolve.engine.snapshot import Snapshot, snapshot
from evolve.engine.source import file_of
from evolve.engine.surroundings import MODEL, surroundings
from evolve.engine.workers import threads_pinned
from evolve.errors import EvolveError, ExperimentError, StoreError
from evolve.experiment import Experiment, Free, Watcher
from evolve.genome import Genome, Json
from evolve.score import G, Objective, Record
from evolve.search.protocol import Proposal
from evolve.store.backup import Backup
from evolve.store.ledger import Ledger
from evolve.store.run import Run
from evolve.streams import Stream, rng_for


class Silent:
    """A watcher that says nothing."""

    def started(self, experiment: Experiment[Any], births: int) -> None: ...
    def resumed(self, told: int, elites: Sequence[Record[Any]]) -> None: ...
    def told(self, record: Record[Any]) -> None: ...
    def says(self, words: str) -> None: ...


def conduct(
    experiment: Experiment[G],
    out: Path,
    options: Options = HERE,
    *,
    resume: bool = False,
    file: Path | None = None,
    accept_changes: bool = False,
    births: int | None = None,
    watcher: Watcher | None = None,
    observers: Sequence[Observer] = (),
) -> Run[G]:
    """Run or resume `experiment` in `out`; see `evolve.run`. Raises `EvolveError`."""
    watcher = watcher or Silent()
    general = cast("Experiment[Genome]", experiment)
    search = general.search()
    check_window(general, options.workers)
    check_final(general)
    check_objectives(general)
    code = snapshot(None if file is None else file_of(file))
    facts = _facts(general, file, code)
    if resume:
        ledger = Ledger.open(out, write=True)
    else:
        ledger = Ledger.create(out, facts, vault=options.vault)
    with ExitStack() as stack:
        stack.callback(ledger.close)
        if resume:
            _same(facts, ledger, accept_changes)
            if differ := changes(ledger.facts.get("fingerprint"), fingerprint()):
                watcher.says(f"Versions differ from the run's first ({differ}): bits may differ.")
        for warning in code.warnings if options.address is not None else ():
            watcher.says(warning)
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
        gpus = largest(fitnesses_of(general)).gpus
        ledger.begin_epoch({**fingerprint(gpus), **vars(options)})
        ledger.set_fact("policy", vars(general.policy))
        ledger.set_fact("surroundings", surroundings())
        if file is not None:  # it may have moved
            ledger.set_fact("file", str(file.resolve()))
        watcher.started(experiment, total)
        observe = stack.enter_context(_observing(out, general, options, observers))
        backup = None if options.backup is None else Backup(ledger, options.backup)
        copying = Copying(backup, watcher, observe)
        ahead = "finished" not in ledger.facts
        try:
            if ahead:
                _warm(first_genome(general))
            crew = hire(general, options, code, observe, not resume)
        except EvolveError:
            if not resume:
                ledger.discard()  # nothing was born: the same command works once it can
            raise
        stack.callback(crew.close)
        loop = Loop(
            general, search, ledger, crew, total,
            watcher.told,
            lambda told, elites: watcher.resumed(told, [*elites, *_named(general, ledger)]),
            observe, copying.turn,
            most=largest_task(general, options.workers),
        )  # fmt: skip
        loop.run()
        if loop.halted:
            copying.end()
            watcher.says(f"Stopped at {loop.told} of {total} births: {loop.halted}")
            return Run.at(out)
        if general.final is not None:
            watcher.says("Testing the picks and the baselines on the sealed split.")
            for group in general.final.baselines.values() if ahead else ():
                _warm(group[0])
        conclude(general, ledger, crew)
        ledger.set_fact("finished", time.time())
        copying.end()
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


def _named(experiment: Experiment[Genome], ledger: Ledger) -> list[Record[Genome]]:
    """The records so far of the births that the final test names as baselines."""
    if experiment.final is None:
        return []
    without = {each.birth for each in ledger.unfinished()}
    named = experiment.final.births.values()
    return ledger.records_of([b for b in named if b < ledger.births() and b not in without])


@contextmanager
def _observing(
    out: Path, experiment: Experiment[Genome], options: Options, observers: Sequence[Observer]
) -> Iterator[Observer]:
    """All who look on, as one: the log, Ray's metrics, those given."""
    log = Log(out / "log.jsonl")
    every: list[Observer] = [log, *observers]

    def observe(event: Event) -> None:
        for each in every:
            each(event)

    with closing(log), ExitStack() as stack:
        if options.workers:
            from evolve.engine.cluster.metrics import Metrics

            every.append(stack.enter_context(closing(Metrics(experiment.name))))
        yield observe


def first_genome(experiment: Experiment[Genome]) -> Genome:
    """The first founder."""
    first = experiment.search().ask(0, rng_for(experiment.seed, 0, Stream.ASK))
    return first.genome if isinstance(first, Proposal) else first.parents[0].genome


def check_window(experiment: Experiment[Genome], workers: int) -> None:
    """Raise `ExperimentError` if the search lets too few births fly for the workers."""
    if workers < 0:
        raise ExperimentError(f"--workers is {workers}; give 0 (this process) or more.")
    window = experiment.window()
    if workers > window:
        raise ExperimentError(
            f"The search keeps at most {window} births in flight, too few for {workers} workers; "
            "raise the search's window (it is part of the experiment, the result depends on it) "
            "or use fewer workers."
        )


def largest_task(experiment: Experiment[Genome], workers: int) -> int:
    """How many genomes a task may have so that all workers share what flies together."""
    return -(-experiment.window() // max(workers, 1))


def check_objectives(experiment: Experiment[Genome]) -> None:
    """Raise `ExperimentError` if the objectives cannot be told apart, or are none."""
    names = [objective.name for objective in experiment.fitness.objectives]
    if not names or len(set(names)) < len(names):
        raise ExperimentError(
            f"The fitness has the objectives {names}; give one or more, each with its own name."
        )


def _warm(genome: Genome) -> None:
    """Express a genome, outside any evaluation's clock, so that what genomes share is built.

    What the checkpoints or the disk do not allow is raised as `EvolveError`, before work;
    anything else is left to the evaluation, where it is a failed birth.
    """
    try:
        with threads_pinned():
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


def _facts(experiment: Experiment[Genome], file: Path | None, code: Snapshot) -> dict[str, Json]:
    place = Path.cwd() if file is None else file.resolve().parent
    return {
        "name": experiment.name,
        "seed": experiment.seed,
        "births": experiment.births,
        "order": "free" if isinstance(experiment.order, Free) else "ordered",
        "objectives": [_declared(objective) for objective in experiment.fitness.objectives],
        "rungs": list(experiment.fitness.rungs),
        "window": experiment.window(),
        "file": None if file is None else str(file.resolve()),
        "code_sha256": None if file is None else code.loaded_sha256,
        "commit": commit_of(place),
        "surroundings": surroundings(),
        "fingerprint": fingerprint(largest(fitnesses_of(experiment)).gpus),
    }


def _model(surroundings: Json) -> str:
    return str(surroundings.get(MODEL, "")) if isinstance(surroundings, Mapping) else ""


def _declared(objective: Objective) -> dict[str, Json]:
    """As it is written down: without `log` unless it is so, as before there was one."""
    return {name: fact for name, fact in vars(objective).items() if name != "log" or fact}


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
    models = [_model(facts.get("surroundings")) for facts in (then, now)]
    others = bool(models[0]) != bool(models[1])  # the operators
    if others and not accept:
        raise ExperimentError(
            f"The run in {ledger.folder} was begun with the language model "
            f"{models[0] or 'none'}, and there is {models[1] or 'none'} now: its operators would "
            "be others. Give one as then (--llm-model), or resume with --accept-changes."
        )
    known = now["code_sha256"] is not None  # begun or resumed from Python, there is no file
    if known and now["code_sha256"] != then["code_sha256"] and not accept:
        raise ExperimentError(
            f"{now['file'] or 'The experiment'}, or a module that it imports, has changed since "
            f"the run in {ledger.folder} began; restore it, begin a new run, or resume with "
            "--accept-changes."
        )
    if accept and (others or (known and now["code_sha256"] != then["code_sha256"])):
        ledger.forget_snapshots()  # they are of the search as it was before
    if known and accept:
        ledger.set_fact("code_sha256", now["code_sha256"])
