"""Recipes into tensors: our arithmetic on cached task vectors, or mergekit in memory.

Agreement with mergekit 0.1.5's `merge_state_dicts(dtype=float32)`, before rounding to the out
dtype:

- task_arithmetic, ties, breadcrumbs: equal bits up to four experts (beyond, torch's sum over
  models changes its order), with mergekit's own tie-breaking between equal magnitudes;
- linear: max |difference| <= 1e-6 max |w|, as deltas are summed, not models;
- dare_ties, dare_linear: our own masks (`evolve.streams`, by seed, expert and tensor); on the
  same masks identical kept elements and elected signs, difference as for linear;
- slerp, nuslerp, sce, model_stock, karcher: mergekit's own functions, equal bits; della too,
  its draws seeded from `evolve.streams` tensor by tensor.

Tensors that no expert changed are the base's own, whatever the method.
"""

from evolve.genomes.realise.realise import prepare, realise

__all__ = ["prepare", "realise"]
