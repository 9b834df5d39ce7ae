"""Mean token loss of a causal language model on fixed sequences, one objective a domain.

Knows neither where the text comes from nor how the weights were made. The loss is the negative
log-likelihood of each token but the first, in nats, as transformers computes it for `labels`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evolve.errors import CheckpointError, FitnessError
from evolve.genome import Genome
from evolve.genomes.checkpoint import local
from evolve.score import Needs, Objective, Score
from fitness.expressed import attempt
from fitness.nested import both, extended

if TYPE_CHECKING:
    import torch

LARGEST_EXPONENT = 700.0  # exp(710) is beyond float64, and a metric must be finite


@dataclass(frozen=True, eq=False)
class LanguageLoss:
    """One minimised objective a domain, named like it, in nats/token.

    `architecture`: a checkpoint directory or hub id, an absolute path from then on, of which only
    the config is used. `domains`: name -> (n, length) integer tokens, n the same in all. `rungs`:
    sequences a domain, growing; rung i scores the first rungs[i]; default (n,). `batch_size`:
    sequences a forward pass; it changes the last bits. `gpus` > 0 computes on CUDA. `memory` in
    bytes, `timeout` in seconds.
    Samples are the losses of the sequences, metrics `perplexity_<domain>` (capped at exp(700))
    and `mean_loss` over domains. Raises `FitnessError` or `CheckpointError` if these disagree.
    """

    architecture: Path | str
    domains: Mapping[str, np.ndarray]
    rungs: tuple[int, ...] = ()
    batch_size: int = 8
    timeout: float | None = None
    gpus: float = 0.0
    memory: int = 0

    def __post_init__(self) -> None:
        architecture = local(self.architecture)
        domains = {
            name: checked_tokens(name, tokens, architecture)
            for name, tokens in self.domains.items()
        }
        sizes = {name: len(tokens) for name, tokens in domains.items()}
        if len(set(sizes.values())) != 1:
            raise FitnessError(
                f"LanguageLoss.domains have {sizes or 'no'} sequences; give one domain or more, "
                "each with the same number."
            )
        n = next(iter(sizes.values()))
        rungs = tuple(self.rungs) or (n,)
        if rungs[0] < 1 or rungs[-1] > n or any(a >= b for a, b in pairwise(rungs)):
            raise FitnessError(
                f"LanguageLoss.rungs are {rungs}; give growing numbers from 1 to {n}, the "
                "sequences of a domain."
            )
        if self.batch_size < 1:
            raise FitnessError(f"LanguageLoss.batch_size is {self.batch_size}; give 1 or more.")
        for name, value in (
            ("architecture", architecture),
            ("domains", domains),
            ("rungs", rungs),
        ):
            object.__setattr__(self, name, value)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return tuple(Objective(name, unit="nats/token") for name in self.domains)

    @property
    def needs(self) -> Needs:
        return Needs(gpus=self.gpus, memory=self.memory, timeout=self.timeout)

    @property
    def fingerprint(self) -> str:
        """The sha256 (hex) of the architecture's config and of every domain's tokens."""
        content = hashlib.sha256((Path(self.architecture) / "config.json").read_bytes())
        for name, tokens in self.domains.items():
            content.update(f"\n{name} {tokens.shape}\n".encode())
            content.update(tokens.tobytes())
        return content.hexdigest()

    def evaluate(self, genomes: Sequence[Genome], rung: int, seed: int) -> list[Score]:
        """One score a genome, whatever the seed."""
        return self._each(genomes, slice(self.rungs[rung]))

    def extend(
        self, genomes: Sequence[Genome], known: Sequence[Score | None], rung: int, seed: int
    ) -> list[Score]:
        """As `evaluate`, without scoring again what a genome scored at the rung below.

        Everything is scored where that ends within a `batch_size`.
        """
        start = self.rungs[rung - 1] if rung else 0
        if start % self.batch_size:
            start = 0
        if start == 0:
            return self.evaluate(genomes, rung, seed)
        return extended(
            genomes,
            known,
            lambda some: self.evaluate(some, rung, seed),
            lambda some: self._each(some, slice(start, self.rungs[rung])),
            lambda low, high: self._score(both(low, high)[0]),
        )

    def _each(self, genomes: Sequence[Genome], rows: slice) -> list[Score]:
        return [attempt(partial(self._of, genome, rows), self.objectives) for genome in genomes]

    def _of(self, genome: Genome, rows: slice) -> Score:
        return self._on(genome.express(), rows)

    def score_expressed(self, expressed: object, rung: int, seed: int) -> Score:
        """The score of a state dict. Raises `CheckpointError` if it does not fit the model."""
        return self._on(expressed, slice(self.rungs[rung]))

    def _on(self, expressed: object, rows: slice) -> Score:
        """The score on the sequences `rows`."""
        import torch

        from fitness.live import loaded

        model = loaded(Path(self.architecture), expressed, "cuda" if self.gpus else "cpu")
        with torch.inference_mode():
            return self._score(
                tuple(
                    sequence_losses(model, tokens[rows], self.batch_size)
                    for tokens in self.domains.values()
                )
            )

    def _score(self, samples: tuple[np.ndarray, ...]) -> Score:
        values = tuple(float(losses.mean(dtype=np.float64)) for losses in samples)
        metrics = {
            f"perplexity_{name}": perplexity(value) for name, value in zip(self.domains, values)
        }
        metrics["mean_loss"] = sum(values) / len(values)
        return Score(values, metrics=metrics, samples=samples)


def perplexity(loss: float) -> float:
    """exp(`loss`), capped at exp(700) so that it stays finite."""
    return math.exp(min(loss, LARGEST_EXPONENT))


def sequence_losses(model: torch.nn.Module, tokens: np.ndarray, batch_size: int) -> np.ndarray:
    """(n,) float32: each sequence's mean loss over tokens[:, 1:]. `tokens`: (n, length) int."""
    return np.array(list(_losses(model, tokens, batch_size)), dtype=np.float32)


def _losses(model: torch.nn.Module, tokens: np.ndarray, batch_size: int) -> Iterator[float]:
    import torch
    from torch.nn.functional import cross_entropy

    device = next(model.parameters()).device
    for i in range(0, len(tokens), batch_size):
        batch = torch.from_numpy(tokens[i : i + batch_size].astype(np.int64)).to(device)
        # The last token predicts nothing: it is not run.
        logits: torch.Tensor = model(input_ids=batch[:, :-1], use_cache=False).logits
        # By sequence: the softmax of a whole batch at a large vocabulary is memory, and time.
        for rows, targets in zip(logits, batch[:, 1:]):
            yield cross_entropy(rows, targets).item()


def checked_tokens(name: str, tokens: np.ndarray, architecture: Path) -> np.ndarray:
    """A read-only (n, length) int32 copy of `tokens`, which the model must know."""
    array = np.asarray(tokens)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer) or array.shape[1] < 2:
        raise FitnessError(
            f"The domain {name!r} has tokens {array.shape} {array.dtype}; give (n, length) "
            "integers with length 2 or more, e.g. from `fixed_sequences`."
        )
    vocabulary, context = _limits(architecture)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high >= vocabulary:
        raise FitnessError(
            f"The domain {name!r} has tokens from {low} to {high}, the model at {architecture} "
            f"knows 0 to {vocabulary - 1}; use this model's tokenizer."
        )
    if array.shape[1] - 1 > context:
        raise FitnessError(
            f"The domain {name!r} has sequences of {array.shape[1]} tokens, the model at "
            f"{architecture} reads {context}; cut them shorter."
        )
    copied = array.astype(np.int32)
    copied.setflags(write=False)
    return copied


def _limits(architecture: Path) -> tuple[int, int]:
    """Vocabulary and context length from a config.json; no limit where it states none."""
    path = architecture / "config.json"
    try:
        config = json.loads(path.read_text())
        vocabulary = config.get("vocab_size") or 2**31
        context = config.get("max_position_embeddings") or 2**31
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}); give the directory of a Hugging Face checkpoint."
        ) from error
    return int(vocabulary), int(context)


def fixed_sequences(text: str, tokenizer: Path, length: int, n: int) -> np.ndarray:
    """(n, length) int32: sequences of `text`, evenly spaced, without overlap or special tokens.

    `tokenizer`: a directory that transformers' AutoTokenizer reads. Raises `FitnessError` if the
    text is too short.
    """
    from transformers import AutoTokenizer

    encode = AutoTokenizer.from_pretrained(tokenizer)
    tokens = encode(text, add_special_tokens=False, verbose=False)["input_ids"]
    return spaced(np.array(tokens, dtype=np.int32), length, n)


def spaced(tokens: np.ndarray, length: int, n: int) -> np.ndarray:
    """(n, length): of the consecutive blocks of `tokens` (t,), n that are evenly spaced."""
    n_blocks = len(tokens) // length
    if n < 1 or n_blocks < n:
        raise FitnessError(
            f"{n} sequences of {length} tokens were asked of {len(tokens)} tokens; give a longer "
            f"text, or ask for 1 to {n_blocks}."
        )
    return tokens[: n_blocks * length].reshape(n_blocks, length)[np.arange(n) * n_blocks // n]
