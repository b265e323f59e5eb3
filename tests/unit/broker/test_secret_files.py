"""Secrets as files, with a sentence for each way to get that wrong."""

from pathlib import Path

import pytest

from dss_process.secret_files import SECRETS, read_secret_files


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("content", [b"amqp://u:p@h/\n", b"\xef\xbb\xbfamqp://u:p@h/\r\n"])
def test_a_secret_comes_from_its_file(name: str, content: bytes, tmp_path: Path) -> None:
    """Also from one that an editor of Windows wrote."""
    (tmp_path / "secret").write_bytes(content)
    environment = {f"{name}_FILE": str(tmp_path / "secret"), "PATH": "/bin"}

    read_secret_files(environment)

    assert environment == {name: "amqp://u:p@h/", "PATH": "/bin"}


def test_other_settings_that_are_named_so_stay() -> None:
    environment = {"DSS_GIT_CA_FILE": "/ca.pem", "DSS_SECRET_KEY_FILE": "", "DSS_SECRET_KEY": "k"}

    read_secret_files(environment)

    assert environment == {"DSS_GIT_CA_FILE": "/ca.pem", "DSS_SECRET_KEY": "k"}


@pytest.mark.parametrize(
    ("content", "also", "sentence"),
    [
        (None, {}, "DSS_SECRET_KEY_FILE: {path} cannot be read (No such file or directory)."),
        (b" \n", {}, "DSS_SECRET_KEY_FILE: {path} holds nothing."),
        (b"\xff", {}, "DSS_SECRET_KEY_FILE: {path} cannot be read (it is no text)."),
        (
            b"k",
            {"DSS_SECRET_KEY": "k"},
            "DSS_SECRET_KEY and DSS_SECRET_KEY_FILE are both set; set one of them.",
        ),
    ],
)
def test_a_file_that_gives_no_secret_ends_the_program_with_a_sentence(
    content: bytes | None, also: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SystemExit) as ended:
        read_secret_files({"DSS_SECRET_KEY_FILE": str(path), **also})

    assert ended.value.code == sentence.format(path=path)
