import numpy as np

from evolve.report.labels import place_labels

FRAME = (0.0, 0.0, 400.0, 300.0)


def boxes_overlap(corners: np.ndarray, sizes: np.ndarray) -> bool:
    for i in range(len(corners)):
        for j in range(i):
            low = np.maximum(corners[i], corners[j])
            high = np.minimum(corners[i] + sizes[i], corners[j] + sizes[j])
            if (high > low).all():
                return True
    return False


def test_labels_of_crowded_points_do_not_overlap() -> None:
    rng = np.random.default_rng(3)
    anchors = np.array([200.0, 150.0]) + rng.normal(0, 12, (14, 2))
    sizes = np.tile([60.0, 11.0], (14, 1))
    corners = place_labels(anchors, sizes, np.full(14, 5.0), np.zeros((0, 2)), FRAME)
    assert not boxes_overlap(corners, sizes)


def test_labels_stay_inside_the_frame_and_off_the_marks() -> None:
    anchors = np.array([[399.0, 299.0], [1.0, 1.0], [1.0, 299.0], [399.0, 1.0], [200.0, 150.0]])
    sizes = np.tile([70.0, 12.0], (5, 1))
    corners = place_labels(anchors, sizes, np.full(5, 4.0), np.array([[204.0, 150.0]]), FRAME)
    assert (corners >= 0).all()
    assert (corners + sizes <= [400.0, 300.0]).all()
    for corner, size in zip(corners, sizes):
        for mark in [*anchors, np.array([204.0, 150.0])]:
            assert not ((mark > corner) & (mark < corner + size)).all()


def test_one_point_alone_keeps_its_label_near() -> None:
    corners = place_labels(
        np.array([[200.0, 150.0]]),
        np.array([[40.0, 10.0]]),
        np.array([5.0]),
        np.zeros((0, 2)),
        FRAME,
    )
    middle = corners[0] + [20.0, 5.0]
    assert abs(middle - [200.0, 150.0]).max() < 30.0


def test_same_input_same_places() -> None:
    rng = np.random.default_rng(0)
    given = rng.uniform(0, 300, (9, 2)), np.tile([50.0, 10.0], (9, 1)), np.full(9, 4.0)
    first = place_labels(*given, rng.uniform(0, 300, (20, 2)) * 0.0, FRAME)
    again = place_labels(*given, np.zeros((20, 2)), FRAME)
    assert (first == again).all()


def test_no_labels_no_places() -> None:
    none = np.zeros((0, 2))
    assert place_labels(none, none, np.zeros(0), none, FRAME).shape == (0, 2)
