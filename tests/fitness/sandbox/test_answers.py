from __future__ import annotations

import io
import json
import math
import zipfile

import numpy as np
import pytest

from fitness.sandbox.answers import Failed, Unreadable, arrays, read

MOST = 1 << 24


def npz(**given: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **given)
    return file.getvalue()


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    return file.getvalue()


def header(shape: object, descr: object = "<f8", version: tuple[int, int] = (1, 0)) -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}) + "\n"
    return b"\x93NUMPY" + bytes(version) + len(text).to_bytes(2, "little") + text.encode()


def test_arrays_come_back_bit_by_bit() -> None:
    given = {
        "a": np.arange(6.0, dtype=np.float32).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "scalar": np.array(1.5),
        "empty": np.zeros((0, 4), np.int8),
        "mask": np.array([True, False]),
        "half": np.array([1, math.nan, math.inf], np.float16),
        "big": np.arange(3, dtype=">i4"),
    }
    found = read(b"N" + npz(**given), MOST)
    assert isinstance(found, dict)
    assert set(found) == set(given)
    for name, array in given.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_numbers_that_are_none_pass_as_numbers() -> None:
    found = read(b'J{"a": [NaN, Infinity, -Infinity, 1e999, 1]}', MOST)
    assert isinstance(found, dict)
    numbers = found["a"]
    assert isinstance(numbers, list)
    assert math.isnan(numbers[0])
    assert numbers[1:] == [math.inf, -math.inf, math.inf, 1]


def test_an_error_is_described_and_bounded() -> None:
    told = {"kind": "exception", "text": "x\x1b" * 9999, "trace": "t" * 10**5}
    found = read(b"E" + json.dumps(told).encode(), MOST)
    assert isinstance(found, Failed)
    assert (len(found.text), len(found.trace)) == (2000, 16005)
    assert "\x1b" not in found.text


def test_an_error_is_cut_after_its_paths_are_replaced() -> None:
    found = []
    for box in ("/scratch/evolve-box-7-0f", "/scratch/evolve-box-12345-0f"):
        told = {"kind": "exception", "text": f"{box} " * 400, "trace": f"{box}/m.py\n" * 2000}
        found.append(read(b"E" + json.dumps(told).encode(), MOST, (box,)))
    assert found[0] == found[1]
    assert isinstance(found[0], Failed)
    assert found[0].text == "/box " * 400


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"X",
        b"\x80\x04K\x01.",  # a pickle
        b"J",
        b"J{",
        b"J\xff\xfe",
        b"J" + b"[" * 60_000,
        b"J" + b"1" * 5000,
        b'J"\\ud800"',
        b"J" + b" " * (2 << 20),
        b"E[]",
        b'E{"kind": "worker lost", "text": "", "trace": ""}',
        b'E{"kind": "exception", "text": 1, "trace": ""}',
        b"N",
        b"N" + b"PK\x05\x06" + bytes(18) + b"x",
        b"N" + b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(18),
        b"N" + b"PK\x05\x06" + bytes(4) + b"\xff\xff\xff\xff" + bytes(10),
        b"N" + npz(a=np.zeros(3))[:-40],
    ],
    ids=range(18),
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        read(data, MOST)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zipped({"a.npy": header((4,)) + bytes(32)}, zipfile.ZIP_DEFLATED), "is compressed"),
        (zipped({"a.txt": b""}), "expected only arrays"),
        (zipped({"a.npy": header((1 << 40,))}), r"claims the shape \(1099511627776,\) in 0"),
        (zipped({"a.npy": header((2,)) + bytes(32)}), "in 32 bytes"),
        (zipped({"a.npy": header((-1, -4)) + bytes(32)}), "claims the shape"),
        (zipped({"a.npy": header((1,), "|O") + bytes(8)}), "holds object"),
        (zipped({"a.npy": header((1,), "<c16") + bytes(16)}), "holds complex128"),
        (zipped({"a.npy": header((1,), "<f16") + bytes(16)}), "holds float128"),
        (zipped({"a.npy": header((1,), "<U4") + bytes(16)}), "holds <U4"),
        (zipped({"a.npy": header((1,), [("a", "<f8")]) + bytes(8)}), "holds"),
        (zipped({"a.npy": header((1,), version=(3, 0)) + bytes(8)}), r"npy \(3, 0\)"),
        (zipped({"a.npy": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535}), "no npz file"),
        (zipped({"a.npy": b"hello"}), "no npz file"),
    ],
    ids=range(13),
)
def test_an_array_is_what_its_header_says(data: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        arrays(data)


def test_members_that_overlap_claim_no_more_than_there_is() -> None:
    """Each entry of the directory names the same bytes: a bomb without compression."""
    member = header((1000,)) + bytes(8000)
    one = zipped({"a.npy": member})
    size = int.from_bytes(one[-10:-6], "little")
    start = int.from_bytes(one[-6:-2], "little")
    entry = one[start : start + size]
    entries = b"".join(entry.replace(b"a.npy", b"%c.npy" % (97 + i)) for i in range(20))
    counts = (20).to_bytes(2, "little") * 2
    end = b"PK\5\6" + bytes(4) + counts + len(entries).to_bytes(4, "little")
    bomb = one[:start] + entries + end + start.to_bytes(4, "little") + bytes(2)
    with pytest.raises(Unreadable, match="claim 16"):
        arrays(bomb)


def test_one_name_is_one_array() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("a.npy", header((0,)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            opened.writestr("a.npy", header((0,)))
    with pytest.raises(Unreadable, match="two arrays of one name"):
        arrays(file.getvalue())
