import numpy as np

from experiments.material.images import cut, scored_on


def test_splits_share_no_sample_and_keep_labels() -> None:
    images = np.arange(20, dtype=np.float32).reshape(20, 1, 1, 1)
    splits = cut(images, np.arange(20), {"train": 10, "validation": 4}, seed=1)
    assert {name: len(split.images) for name, split in splits.items()} == {
        "train": 10,
        "validation": 4,
    }
    for split in splits.values():
        assert (split.images.ravel() == split.labels).all()
    assert not set(splits["train"].labels) & set(splits["validation"].labels)


def test_a_seed_is_a_cut() -> None:
    images, labels = np.zeros((20, 2), np.float32), np.arange(20)
    one, same, other = (cut(images, labels, {"a": 20}, seed)["a"].labels for seed in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()


def test_data_for_the_harness() -> None:
    splits = cut(np.zeros((20, 2), np.float32), np.arange(20) % 2, {"train": 10, "test": 5}, 0)
    assert scored_on(splits, "test").inputs.shape == (5, 2)
