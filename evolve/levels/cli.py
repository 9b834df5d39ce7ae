"""`evolve levels build`: a model and a text in, a level database out.

Says what it will do before any work, how far it is, and what came of it. Knows no tensors.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from evolve.errors import GenomeError
from evolve.genomes.compression.anatomy import Names
from evolve.genomes.compression.space import BitGrid, ZeroGrid
from evolve.levels.settings import Method, Settings

if TYPE_CHECKING:
    from evolve.levels.build import Plan

LINES = 20  # of progress, at most


def levels_app(console: Callable[[], Console]) -> typer.Typer:
    """The commands below `evolve levels`; they write to the console that `console` gives then."""
    app = typer.Typer(no_args_is_help=True, help="Level databases: a model's layers, compressed.")

    @app.callback()
    def levels() -> None:
        """Keeps `build` a command with a name although it is the only one."""

    @app.command()
    def build(
        model: Annotated[str, typer.Argument(metavar="MODEL", help="A directory or a hub id.")],
        out: Annotated[
            Path, typer.Option(help="The database: a new directory, or a resumed one.")
        ],
        text: Annotated[
            Path, typer.Option(help="Calibration: a text, or .npy/.safetensors of (n, l) tokens.")
        ],
        bits: Annotated[str | None, typer.Option(help="Such as 2,3,4,5,6 (the default).")] = None,
        group: Annotated[int, typer.Option(min=1, help="Inputs that share a scale.")] = 64,
        sparsity: Annotated[
            float | None, typer.Option(help="Levels of zeros around this instead of bits.")
        ] = None,
        reach: Annotated[int, typer.Option(min=1, help="Levels to either side of it.")] = 8,
        divisor: Annotated[int, typer.Option(min=1, help="Of the largest step of zeros.")] = 4,
        method: Annotated[
            Method | None, typer.Option(help="Default: gptq for bits, sparsegpt for zeros.")
        ] = None,
        sequences: Annotated[int, typer.Option(min=1, help="Of the text.")] = 64,
        length: Annotated[int, typer.Option(min=2, help="Tokens of a sequence.")] = 512,
        damping: Annotated[float, typer.Option(help="Of the Hessian's mean diagonal.")] = 0.01,
        full_scales: Annotated[
            bool, typer.Option("--full-scales", help="Scales from the largest weight only.")
        ] = False,
        no_ties: Annotated[
            bool, typer.Option("--no-ties", help="For spaces whose fused layers are not tied.")
        ] = False,
        names: Annotated[
            str | None,
            typer.Option(
                help="Of an unknown architecture's modules: BLOCKS,ATTENTION,MLP,"
                "ATTENTION_OUTPUT,MLP_OUTPUT."
            ),
        ] = None,
        threads: Annotated[int, typer.Option(min=1, help="Of the walk through the model.")] = 1,
        workers: Annotated[
            int | None,
            typer.Option(min=0, help="Ray workers; 0: this process; default: the cores."),
        ] = None,
        address: Annotated[
            str | None,
            typer.Option(help="auto or HOST:PORT of a running Ray; default: one of our own."),
        ] = None,
    ) -> None:
        """Make every layer's levels, or go on with a build that was stopped or killed."""
        from evolve.genomes.compression.anatomy import Anatomy
        from evolve.levels.build import Plan
        from evolve.levels.tokens import tokens_of

        grid = grid_of(bits, group, sparsity, reach, divisor)
        chosen = method or (Method.GPTQ if isinstance(grid, BitGrid) else Method.SPARSEGPT)
        settings = Settings(grid, chosen, not no_ties, damping, not full_scales, threads)
        anatomy = Anatomy.of(model, names_of(names))
        tokens = tokens_of(text.expanduser(), anatomy.source.path, sequences, length)
        plan = Plan.of(anatomy, settings, tokens, out)
        conduct(plan, _cores() if workers is None else workers, address, console())

    return app


def grid_of(
    bits: str | None, group: int, sparsity: float | None, reach: int, divisor: int
) -> BitGrid | ZeroGrid:
    """The grid that the options ask for. Raises `GenomeError`."""
    if bits is not None and sparsity is not None:
        raise GenomeError("--bits and --sparsity are two databases; give one, then the other.")
    if sparsity is not None:
        return ZeroGrid(sparsity, reach, divisor)
    try:
        numbers = tuple(int(each) for each in (bits or "2,3,4,5,6").split(","))
    except ValueError:
        raise GenomeError(f"--bits is {bits!r}; give numbers such as 2,3,4.") from None
    return BitGrid(numbers, group)


def names_of(words: str | None) -> Names | None:
    """The names of an architecture's modules. Raises `GenomeError`."""
    if words is None:
        return None
    parts = words.split(",")
    if len(parts) != 5 or not all(parts):
        raise GenomeError(
            f"--names is {words!r}; give five names, say "
            "model.layers,self_attn,mlp,o_proj,down_proj."
        )
    return Names(*parts)


def conduct(plan: Plan, workers: int, address: str | None, console: Console) -> None:
    """Print the plan, build, and print what came of it."""
    from evolve.levels.build import build, check_room
    from evolve.levels.estimate import seconds

    def say(words: str) -> None:
        console.print(words, markup=False, soft_wrap=True)

    for line in plan_lines(plan, seconds(plan, workers)):
        say(line)
    where = "in this process" if workers == 0 else f"on {workers} Ray workers"
    say(f"Building {where}, in {plan.out}")
    check_room(plan, plan.levels)
    begun, every = time.monotonic(), max(1, len(plan.levels) // LINES)

    def progress(name: str, n_done: int) -> None:
        if n_done % every == 0 or n_done == len(plan.levels):
            spent = time.monotonic() - begun
            say(f"{n_done}/{len(plan.levels)} layers, {spent:.0f} s, now {name}")

    try:
        database = build(plan, workers=workers, address=address, progress=progress)
    except KeyboardInterrupt:
        say("Stopped; finished layers are kept. Go on with the same command.")
        raise SystemExit(130) from None
    size = sum(file.stat().st_size for file in plan.out.glob("*.safetensors"))
    spent, copies = time.monotonic() - begun, plan.dense_bytes
    say(
        f"{plan.n_levels} levels of {len(plan.levels)} layers in {spent:.0f} s: {_amount(size)}, "
        f"{size / copies:.3f} of {_amount(copies)} as dense copies"
    )
    say(f"Digest {database.digest}")


def plan_lines(plan: Plan, seconds: float) -> list[str]:
    """What is to be done, for people."""
    grid, settings = plan.settings.grid, plan.settings
    if isinstance(grid, BitGrid):
        what = f"bits {', '.join(map(str, grid.bits))} in groups of {grid.group}"
    else:
        what = f"zeros around {grid.sparsity:g} in {grid.reach} steps to either side"
    n, length = plan.tokens.shape
    size, copies = plan.bytes_of(plan.levels), plan.dense_bytes
    return [
        f"{plan.anatomy.source.name}: {len(plan.anatomy.blocks)} blocks, {len(plan.levels)} "
        f"linear layers, {plan.n_levels} levels by {settings.method.value}: {what}",
        f"Calibration: {n} sequences of {length} tokens, {n * length:,} in all; damping "
        f"{settings.damping:g}",
        f"Disk: {_amount(size)}, {size / copies:.3f} of {_amount(copies)} as dense copies",
        f"Time: about {_duration(seconds)}",
    ]


def _amount(size: int) -> str:
    return f"{size / 1e9:,.2f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _cores() -> int:
    """The cores this process may use; 0 (this process) if it is one."""
    n = len(os.sched_getaffinity(0))
    return n if n > 1 else 0
