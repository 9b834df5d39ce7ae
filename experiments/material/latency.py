"""Latency tables of models on this machine, measured on first use. Knows no search.

from experiments.material.latency import latencies
latencies(Anatomy.of(material.base()))
"""

from evolve.engine.workers import threads_pinned
from evolve.genomes.checkpoint import cache_dir
from evolve.genomes.compression.anatomy import Anatomy
from fitness.divergence.latency import Latencies, measured


def latencies(anatomy: Anatomy) -> Latencies:
    """Seconds a token of each layer, on one thread, from $EVOLVE_CACHE/latency.

    Measured once, so that a resumed run goes on with the numbers that it began with.
    """
    file = cache_dir() / "latency" / f"{anatomy.source.name}-{anatomy.source.digest[:16]}.json"
    if not file.exists():
        print(f"Measuring the latency table {file} ...", flush=True)
        with threads_pinned(1):
            measured(anatomy).save(file)
    return Latencies.load(file)
