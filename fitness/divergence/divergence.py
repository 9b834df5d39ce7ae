"""Mean KL of a compressed model's predictions from the dense model's, on calibration text.

The objective of EvoPress (Sieberling et al. 2024): KL(dense || candidate) in nats a token, the
last position of each sequence left out. Knows neither how profiles are found nor what they cost.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from evolve.errors import FitnessError
from evolve.genomes.compression.profile import CompressionProfile
from evolve.genomes.compression.space import ProfileSpace
from evolve.score import Needs, Objective, Score
from evolve.streams import Stream, rng_for
from fitness.divergence.body import Body, Entry, body_of
from fitness.divergence.kl import divergence_
from fitness.divergence.plan import Load, plan_of
from fitness.divergence.targets import targets_of
from fitness.divergence.walk import Stem, Wish, astray, walk, wishes
from fitness.language import checked_tokens, perplexity
from fitness.nested import both, extended

if TYPE_CHECKING:
    import torch

DIVERGENCE = Objective("divergence", unit="nats/token")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True, eq=False)
class Divergence:
    """One minimised objective, `divergence`; scores any profile of the model of `space`.

    `tokens`: (n, length) integers. `rungs` in sequences, default (n,): rung i scores rungs[i] of
    them from starts[i] on, default 0; rungs that begin at the same one grow. With `fresh` it
    draws its own rungs[i] from all n by the seed: (1, 8, 1, 8) is two minibatches of each size.
    `top_k`: of the dense model's likeliest
    tokens, the rest in one bucket; 0: the full vocabulary. `batch`: genomes a call, which change
    no bit of each other's. `shard`: sequences a forward pass; it changes the last bits, and rungs
    that are multiples of it give a sequence the same bits at each. `dtype`: of the arithmetic, on
    weights that are rounded to the checkpoint's dtype first. `gpus` > 0 computes on CUDA,
    `threads` processors otherwise. `memory` in bytes, `timeout` in seconds. `kept`: bytes of dense
    targets to keep.

    Samples are the KL of the sequences; metrics `tokens` (as counted in a budget: sequences
    times length) and `perplexity`. Raises `FitnessError` if these disagree.

    Memory, in bytes, of g genomes, n sequences of t = length - 1 positions, width d, vocabulary
    v, item size i of `dtype`: the model, i a parameter; hidden states, i (g + 2) n t d; the
    weights of one block at each level wanted there; logits, (i + 4) shard t v; targets, 8 t k a
    sequence (4 t v for the full vocabulary), the least recently used dropped beyond `kept`.
    """

    space: ProfileSpace
    tokens: np.ndarray
    rungs: tuple[int, ...] = ()
    fresh: bool = False
    top_k: int = 512
    batch: int = 16
    shard: int = 1
    dtype: str = "float32"
    gpus: float = 0.0
    threads: int = 1
    timeout: float | None = None
    memory: int = 0
    kept: int = 2**30
    starts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        path = self.space.anatomy.source.path
        tokens = checked_tokens("calibration", self.tokens, path)
        n = len(tokens)
        rungs = tuple(self.rungs) or (n,)
        if not all(1 <= rung <= n for rung in rungs):
            raise FitnessError(
                f"Divergence.rungs are {rungs}; give numbers from 1 to {n}, the sequences of "
                "`tokens`, or more text."
            )
        places = list(zip(self.starts or (0,) * len(rungs), rungs))
        if self.starts and (self.fresh or len(self.starts) != len(rungs)):
            raise FitnessError(
                f"Divergence.starts are {self.starts} for the rungs {rungs}; give one for each, "
                "and no fresh=True, which draws."
            )
        if not all(0 <= start <= n - rung for start, rung in places):
            raise FitnessError(
                f"Divergence.starts are {self.starts} for the rungs {rungs}; let each end within "
                f"the {n} sequences of `tokens`."
            )
        twins = pairwise([] if self.fresh else places)
        if any(a == b and few >= more for (a, few), (b, more) in twins):
            raise FitnessError(
                f"Divergence.rungs are {rungs}; let them grow, or give fresh=True for rungs that "
                "draw their own sequences."
            )
        for name, least in (("top_k", 0), ("batch", 1), ("shard", 1), ("threads", 1), ("kept", 0)):
            if vars(self)[name] < least:
                raise FitnessError(
                    f"Divergence.{name} is {vars(self)[name]}; give {least} or more."
                )
        if self.dtype not in DTYPES:
            raise FitnessError(
                f"Divergence.dtype is {self.dtype!r}; choose one of {', '.join(DTYPES)}."
            )
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "rungs", rungs)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return (DIVERGENCE,)

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def needs(self) -> Needs:
        return Needs(
            cpus=float(self.threads),
            gpus=self.gpus,
            memory=self.memory,
            batch=self.batch,
            threads=self.threads,
            timeout=self.timeout,
        )

    @cached_property
    def fingerprint(self) -> str:
        """The sha256 (hex) of the model and the tokens."""
        content = hashlib.sha256(self.space.anatomy.source.digest.encode())
        content.update(f"\n{self.tokens.shape}\n".encode())
        content.update(self.tokens.tobytes())
        return content.hexdigest()

    def plan(self) -> list[str]:
        """Lines for people: the model and its levels, tokens a rung, memory."""
        itemsize = 2 if self.dtype == "bfloat16" else 4
        length = self.tokens.shape[1]
        load = Load(self.rungs, length, self.batch, self.shard, self.top_k, itemsize, self.kept)
        return plan_of(self.space, load)

    def rows(self, rung: int, seed: int) -> list[int]:
        """Which of `tokens` are scored."""
        n = self.rungs[rung]
        if not self.fresh:
            start = self._start(rung)
            return list(range(start, start + n))
        drawn = rng_for(seed, rung, Stream.EVALUATE).choice(len(self.tokens), n, replace=False)
        return [int(row) for row in drawn]

    def evaluate(self, genomes: Sequence[CompressionProfile], rung: int, seed: int) -> list[Score]:
        """One score a genome; a failed one if it does not fit, or predicts what is no number."""
        return self._on(genomes, self.rows(rung, seed))

    def extend(
        self,
        genomes: Sequence[CompressionProfile],
        known: Sequence[Score | None],
        rung: int,
        seed: int,
    ) -> list[Score]:
        """As `evaluate`, without scoring again what a genome scored at the rung below.

        Metric `tokens` counts the new ones; `perplexity` may differ in its last bits. Everything
        is scored where rungs are `fresh`, the one below begins elsewhere or ends within a `shard`.
        """
        rows = self.rows(rung, seed)
        apart = self.fresh or rung == 0 or self._start(rung - 1) != self._start(rung)
        n = 0 if apart else self.rungs[rung - 1]
        if n == 0 or n % self.shard:
            return self._on(genomes, rows)
        return extended(
            genomes,
            known,
            lambda some: self._on(some, rows),
            lambda some: self._on(some, rows[n:]),
            _joined,
        )

    def _start(self, rung: int) -> int:
        return self.starts[rung] if self.starts else 0

    def _on(self, genomes: Sequence[CompressionProfile], rows: list[int]) -> list[Score]:
        """The scores on the sequences `rows`."""
        import torch

        scores: dict[int, Score] = {}
        wanted: dict[int, tuple[Wish, ...]] = {}
        for i, genome in enumerate(genomes):
            if flaw := self._misfit(genome):
                scores[i] = Score.failed(f"invalid: {flaw}")
            else:
                wanted[i] = wishes(genome)
        with torch.inference_mode():
            found = self._scored(list(wanted.values()), rows)
        scores |= zip(wanted, found)
        return [scores[i] for i in range(len(genomes))]

    def _misfit(self, genome: object) -> str:
        if not isinstance(genome, CompressionProfile):
            return f"Divergence scores compression profiles, not {type(genome).__name__}."
        own, other = self.space.anatomy.source, genome.space.anatomy.source
        if own.digest != other.digest:
            return f"The profile is of the model {other.path}, Divergence was given {own.path}."
        return ""

    def _scored(self, wanted: Sequence[tuple[Wish, ...]], rows: list[int]) -> list[Score]:
        if not wanted:
            return []
        body = body_of(self.space.anatomy, self.device, self.dtype)
        shards = [rows[i : i + self.shard] for i in range(0, len(rows), self.shard)]
        entries = [body.enter(self._ids(shard)[:, :-1]) for shard in shards]
        stems, failures = walk(body, wanted, entries)
        scores = {i: Score.failed(f"invalid: {why}") for i, why in failures.items()}
        for stem, (kl, loss) in zip(stems, self._measured(body, shards, entries, stems)):
            value = float(kl.mean(dtype=np.float64))
            metrics = {
                "tokens": float(len(rows) * self.tokens.shape[1]),
                "perplexity": perplexity(float(loss.mean(dtype=np.float64))),
            }
            for i in stem.members:
                scores[i] = Score((value,), metrics=metrics, samples=(kl,))
                if not math.isfinite(value):
                    why = f"its predictions are {astray(body, wanted[i], entries)}"
                    scores[i] = Score.failed(f"invalid: The divergence is {value}: {why}.")
        return [scores[i] for i in range(len(wanted))]

    def _measured(
        self,
        body: Body,
        shards: Sequence[Sequence[int]],
        entries: Sequence[Entry],
        stems: Sequence[Stem],
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each stem (n,) float32 KL and loss of the sequences, in `shards`' order."""
        import torch

        known = targets_of(self.fingerprint, self.device, self.dtype, self.top_k, self.kept)
        found: list[list[torch.Tensor]] = [[] for _ in stems]
        for j, (shard, entry) in enumerate(zip(shards, entries)):
            ids = self._ids(shard)
            targets = [known.of(row, one[:-1], body) for row, one in zip(shard, ids)]
            for stem, means in zip(stems, found):
                logits = body.leave(entry.ids, stem.states[j])
                for own, target, one in zip(logits, targets, ids):
                    pair = torch.stack(divergence_(own, target, one[1:]))
                    means.append(pair.mean(1, dtype=torch.float64))
        tables = [torch.stack(means).float().cpu().numpy() for means in found]
        return [(table[:, 0].copy(), table[:, 1].copy()) for table in tables]

    def _ids(self, rows: Sequence[int]) -> torch.Tensor:
        import torch

        return torch.from_numpy(self.tokens[list(rows)].astype(np.int64)).to(self.device)


def _joined(low: Score, high: Score) -> Score:
    """The score on the sequences of both."""
    (kl,), share = both(low, high)
    old, new = (math.log(score.metrics["perplexity"]) for score in (low, high))
    metrics = {
        "tokens": high.metrics["tokens"],
        "perplexity": perplexity(share * old + (1 - share) * new),
    }
    return Score((float(kl.mean(dtype=np.float64)),), metrics=metrics, samples=(kl,))
