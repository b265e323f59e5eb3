"""Reads one file of a provider's Git repository, with limits on time, size and address."""

import asyncio
import os
import shlex
import tempfile
from urllib.parse import urlsplit

from dss_portal.refusals import Refused
from dss_portal.settings import Settings

MAX_FILE_BYTES = 1 << 20
OUTWARD = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
"""Environment variables for proxies, as libcurl reads them, which git uses."""


async def read_file(
    repository: str, reference: str, name: str, settings: Settings
) -> tuple[str, bytes]:
    """The commit (40 hexadecimal digits) that ``reference`` names, and the content of its file ``name``.  ``reference``
    is a branch, tag or commit; "" is the default branch.  Raises Refused if the address is not allowed, if git fails or
    takes too long, or if the commit has no regular file of that name, or one larger than MAX_FILE_BYTES.

    Nothing is checked out, so links and hooks of the repository have no effect.  The temporary copy is removed.
    """
    _check_address(repository, settings.git_schemes)
    if reference.startswith("-"):
        raise Refused(f"'{reference}' is no branch, tag or commit.")
    with tempfile.TemporaryDirectory(prefix="dss-git-") as folder:
        git = _Git(folder, settings)
        await git("init", "--quiet", "--bare")
        await _fetch(git, repository, reference or "HEAD")
        commit = (await git("rev-parse", "FETCH_HEAD^{commit}")).decode().strip()
        listed = (await git("ls-tree", "--long", commit, "--", name)).split()
        if len(listed) < 4 or listed[0] not in {b"100644", b"100755"}:
            raise Refused(f"Error parsing {name} file: the repository has no such file at its top.")
        if int(listed[3]) > MAX_FILE_BYTES:
            raise Refused(f"The {name} is larger than 1 MB.", 413)
        return commit, await git("cat-file", "blob", listed[2].decode())


async def _fetch(git: "_Git", repository: str, reference: str) -> None:
    """Fetch only the commit ``reference``, without its history.  If the server cannot do that, because it only serves
    plain files, fetch the commit with its history.  Raises Refused if git fails or takes too long.
    """
    words = ("fetch", "--quiet", "--no-tags", "--", repository, reference)
    try:
        await git(words[0], "--depth=1", *words[1:])
    except _Failed as error:
        if b"shallow" not in error.stderr:
            raise
        await git(*words)


class _Failed(Refused):
    """Git ended with an error.  ``stderr`` is what it wrote to standard error."""

    def __init__(self, stderr: bytes) -> None:
        super().__init__(_sentence(stderr))
        self.stderr = stderr


def _sentence(output: bytes) -> str:
    if b"certificate" in output.lower():
        return (
            "Error fetching Git repository: its server's certificate is not trusted here; "
            "DSS_GIT_CA_FILE can name the certificate of its authority."
        )
    if b"could not read Username" in output or b"Authentication failed" in output:
        return (
            "Error fetching Git repository: its server wants a user who may read it; "
            "the file that DSS_GIT_CREDENTIALS_FILE names can hold one."
        )
    return "Error fetching Git repository"


class _Git:
    """Runs git in a temporary folder, without the configuration of any user and without prompts."""

    def __init__(self, folder: str, settings: Settings) -> None:
        self._folder = folder
        self._timeout_s = settings.git_timeout_s
        self._max_bytes = settings.git_max_bytes
        self._protocols = settings.git_schemes.replace(",", ":")
        self._ca_file = settings.git_ca_file
        self._credentials_file = settings.git_credentials_file

    async def __call__(self, *arguments: str) -> bytes:
        """Run git and return its standard output.  Raises Refused if git fails, takes longer than the timeout, or
        receives too many bytes.
        """
        process = await asyncio.create_subprocess_exec(
            "prlimit",
            f"--fsize={self._max_bytes}",
            "git",
            *arguments,
            cwd=self._folder,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, stderr = await asyncio.wait_for(process.communicate(), self._timeout_s)
        except TimeoutError as error:
            os.killpg(process.pid, 9)
            await process.wait()
            raise Refused("Error fetching Git repository: it took too long.") from error
        if process.returncode != 0:
            raise _Failed(stderr)
        return output

    def _environment(self) -> dict[str, str]:
        """The environment for git: variables for proxies, certificates and credentials.  Git reads no configuration of
        a user or of the machine, and asks no questions.
        """
        variables = {name: os.environ[name] for name in OUTWARD if name in os.environ}
        if self._ca_file:
            variables["GIT_SSL_CAINFO"] = self._ca_file
        if self._credentials_file:
            variables |= _credentials(self._credentials_file)
        return {
            **variables,
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": self._folder,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": self._protocols,
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
            "LC_ALL": "C",
        }


def _credentials(file: str) -> dict[str, str]:
    """Environment variables that make git read passwords from ``file`` and never change it.  With its usual settings,
    git would delete a password that a server has refused.

    The file may have the line ends and the byte order mark of Windows, with which git alone would skip its lines.
    """
    clean = r"sed -e '1s/^\xef\xbb\xbf//' -e 's/\r$//'"
    script = (
        '!f() { test "$1" = get && '
        f"{{ {clean} {shlex.quote(file)} | git credential-store --file /dev/fd/3 get 3<&0 0<&4; }} 4<&0; }}; f"
    )
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": script,
    }


def _check_address(repository: str, schemes: str) -> None:
    """Raises Refused unless the repository's address is well formed, begins with one of the comma-separated ``schemes``
    and contains no password and, except for ssh, no user name.
    """
    allowed = schemes.split(",")
    try:
        parts = urlsplit(repository)
    except ValueError as error:  # an IPv6 address without its end, for example
        raise Refused("Error fetching Git repository: this is no address.") from error
    if parts.scheme not in allowed:
        raise Refused(
            f"Error fetching Git repository: an address must begin with "
            f"{' or '.join(f'{s}://' for s in allowed)}."
        )
    if parts.password is not None or (parts.username and parts.scheme != "ssh"):
        raise Refused(
            "Error fetching Git repository: its address holds a user or a password, which everybody could read here; "
            "the operator puts them into the file that DSS_GIT_CREDENTIALS_FILE names."
        )
