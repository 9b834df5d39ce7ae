import numpy as np

from experiments.material import splits


class Letters:
    bos_token_id = 1

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return [ord(c) for c in text]


def corpus(seed: int, n: int = 40) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {f"{seed}-{i}": "".join(map(chr, rng.integers(65, 91, 300))) for i in range(n)}


def test_documents_are_cut_into_whole_runs():
    rows = splits.sequences(["a" * 127, "b" * 300], Letters())
    assert rows.shape == (2, 129)
    assert (rows == np.array([1] + [98] * 128)).all()


def test_every_document_has_one_split_and_every_split_some():
    names = {name: splits.split_of("d", name) for name in corpus(0)}
    assert set(names.values()) == set(splits.SIZES)
    assert names == {name: splits.split_of("d", name) for name in corpus(0)}


def test_windows_meet_where_32_tokens_do():
    rng = np.random.default_rng(1)
    one, two = rng.integers(3, 32000, (2, 129)).astype(np.uint16)
    assert len(splits.windows(one)) == 97
    two[50:81] = one[9:40]  # 31 tokens
    assert not splits.windows(one) & splits.windows(two)
    two[81] = one[40]
    assert len(splits.windows(one) & splits.windows(two)) == 1


def test_repeats_are_kept_once_and_by_the_test_split():
    text = corpus(3, 1)["3-0"][:128]
    both = [
        {f"{i}": text for i in range(40)},  # the same text under forty names
        corpus(4),
    ]
    made = splits.make({"same": both[0], "other": both[1]}, Letters())
    assert {split: len(rows["same"]) for split, rows in made.items()} == {
        "test": 1,
        "validation": 0,
        "train": 0,
    }
    assert sum(len(rows["other"]) for rows in made.values()) == 80


def test_same_seed_same_sequences():
    first, again = (splits.make({"d": corpus(5)}, Letters(), seed=7) for _ in range(2))
    assert all((first[split]["d"] == again[split]["d"]).all() for split in splits.SIZES)
