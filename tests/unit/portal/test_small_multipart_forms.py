"""A file is found in a form that it is the only part of, however the form was cut on its way; any other form is left
to the framework.
"""

import random

import pytest

from dss_portal.writes.multipart import boundary_in, lone_file

HEAD = (
    b'--frontier\r\nContent-Disposition: form-data; name="myfile"; filename="image.nii.gz"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
END = b"\r\n--frontier--\r\n"


def cut(form: bytes, *places: int) -> list[bytes]:
    ends = [*sorted(places), len(form)]
    return [form[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def content(form: bytes, *places: int) -> bytes | None:
    found = lone_file(b"frontier", cut(form, *places))
    return None if found is None else b"".join(found.pieces)


@pytest.mark.parametrize("data", [b"x", b"\r\n--front", b"\r\n" * 40, bytes(range(256)) * 9])
def test_the_file_is_the_same_wherever_the_form_is_cut(data: bytes) -> None:
    form = HEAD + data + END
    chance = random.Random(1)

    for place in range(len(form) + 1):
        assert content(form, place) == data
    for _ in range(300):
        assert content(form, *(chance.randrange(len(form)) for _ in range(4))) == data


def test_its_name_and_size_are_told() -> None:
    found = lone_file(b"frontier", [HEAD, b"voxels", END])

    assert found is not None
    assert (found.name, found.size_bytes) == ("image.nii.gz", 6)


@pytest.mark.parametrize(
    "form",
    [
        HEAD + b"x\r\n--frontier\r\n\r\nanother part" + END,
        HEAD + b"x\n--frontier\n" + END,
        HEAD + b"x",
        HEAD + b"x" + END + b"more",
        HEAD + b"x\r\n--frontier",
        b"before\r\n" + HEAD + b"x" + END,
        HEAD.replace(b"myfile", b"other") + b"x" + END,
        HEAD.replace(b"myfile", b"MyFile") + b"x" + END,
        HEAD.replace(b"image", b'a\\"b') + b"x" + END,
        HEAD.replace(b"image", b"%22") + b"x" + END,
        HEAD.replace(b"image", b"\xff") + b"x" + END,
        HEAD.replace(b"filename", b"filename*") + b"x" + END,
        HEAD.replace(b"Content-Type", b"Content-Transfer-Encoding") + b"x" + END,
        HEAD.replace(b"octet", b"\xff") + b"x" + END,
        b"",
    ],
)
def test_any_other_form_is_left_to_the_framework(form: bytes) -> None:
    for place in range(len(form) + 1):
        assert content(form, place) is None


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        (b"multipart/form-data; boundary=----x1", b"----x1"),
        (b"Multipart/Form-Data;boundary=x_Y", b"x_Y"),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=" + b"x" * 71, None),
        (b'multipart/form-data; boundary="a b"', None),
        (b"multipart/mixed; boundary=x", None),
    ],
)
def test_only_plain_boundaries_are_known(kind: bytes, boundary: bytes | None) -> None:
    assert boundary_in(kind) == boundary
