"""A file of a multipart form is stored to the byte, however the network has cut the form."""

import random
from collections.abc import Sequence

import pytest
from werkzeug.sansio.multipart import Data

from dss_portal.web.multipart import MAX_BLANKS, BoundedDecoder

HEAD = b'--frontier\r\nContent-Disposition: form-data; name="myfile"; filename="a.nii.gz"\r\n\r\n'
END = b"\r\n--frontier--\r\n"

CONTENTS = [
    b"voxels",
    b"voxels\r",
    b"voxels\n",
    b"voxels\r\n",
    b"\r\n--frontier-x",
    b"\r\n--frontie\r\n--",
    b"\r\n--frontier \t-",
    b"\n" * 40 + b"voxels",
]
LONG = [b"v" * 300 + content + b"\r\n--fronti" + b"w" * 300 for content in CONTENTS]
"""Long enough for pieces that are passed on uncopied."""


def read(pieces: Sequence[bytes]) -> bytes:
    """What is stored of the parts of a form."""
    decoder = BoundedDecoder("frontier", 1000)
    events = [event for piece in pieces for event in decoder.pieces(piece)]
    events += decoder.end()
    return b"".join(event.data for event in events if isinstance(event, Data))


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_is_the_same_wherever_its_form_is_cut(content: bytes) -> None:
    form = HEAD + content + END

    assert read([bytes([byte]) for byte in form]) == content
    for place in range(len(form) + 1):
        assert read([form[:place], form[place:]]) == content


@pytest.mark.parametrize("content", CONTENTS)
def test_a_file_is_the_same_if_its_form_is_cut_several_times(content: bytes) -> None:
    form, chance = HEAD + content + END, random.Random(1)

    for _ in range(300):
        a, b, c = sorted(chance.randrange(len(form)) for _ in range(3))
        assert read([form[:a], form[a:b], form[b:c], form[c:]]) == content


@pytest.mark.parametrize("content", LONG)
def test_a_long_file_is_the_same_wherever_its_form_is_cut(content: bytes) -> None:
    form, chance = HEAD + content + END, random.Random(1)

    for place in range(len(form) + 1):
        assert read([form[:place], form[place:]]) == content
        a, b = sorted(chance.randrange(len(form)) for _ in range(2))
        assert read([form[:a], form[a:b], form[b:]]) == content


def test_the_pieces_of_a_long_file_are_not_copied() -> None:
    decoder, piece = BoundedDecoder("frontier", 1000), b"v" * 5000
    list(decoder.pieces(HEAD + b"v"))

    (event,) = decoder.pieces(piece)

    assert isinstance(event, Data)
    assert event.data is piece


def test_a_part_ends_before_a_boundary_with_blanks_wherever_that_is_cut() -> None:
    form = HEAD + b"one\r\n--frontier \t \r\n" + HEAD.partition(b"\r\n")[2] + b"two" + END

    for place in range(len(form) + 1):
        assert read([form[:place], form[place:]]) == b"onetwo"


def test_blanks_without_an_end_are_not_kept() -> None:
    decoder = BoundedDecoder("frontier", 1000)
    list(decoder.pieces(HEAD + b"one\r\n--frontier"))

    for _ in range(100):
        list(decoder.pieces(b" " * 1000))

    assert len(decoder.buffer) <= len(b"\r\n--frontier") + MAX_BLANKS
