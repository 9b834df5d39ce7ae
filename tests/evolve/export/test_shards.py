from evolve.export.shards import shard


def test_parts_keep_order_and_stay_below_the_limit() -> None:
    sizes = {"a": 4, "b": 4, "c": 3, "d": 20, "e": 1, "f": 9}
    assert shard(sizes, 10) == [["a", "b"], ["c"], ["d"], ["e", "f"]]


def test_what_fits_is_one_part() -> None:
    assert shard({"a": 5, "b": 5}, 10) == [["a", "b"]]
