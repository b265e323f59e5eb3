"""A bundle that stands in for an installed one that cannot be used; it answers each request with the reasons."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from dss_inference.bundle import Progress
from dss_inference.errors import InferenceError, IsCancelled


class UnusableBundle:
    """A bundle that refuses every image with the sentences ``wrong``."""

    device = "not installed"

    def __init__(self, name: str, wrong: Sequence[str]) -> None:
        self.name = name
        self.reason = " ".join([f"The algorithm '{name}' is not installed here.", *wrong])

    def run(
        self,
        image_path: Path,  # noqa: ARG002  (a Bundle's)
        output_dir: Path,  # noqa: ARG002  (a Bundle's)
        parameters: dict[str, str],  # noqa: ARG002  (a Bundle's)
        progress: Progress,  # noqa: ARG002  (a Bundle's)
        cancelled: IsCancelled,  # noqa: ARG002  (a Bundle's)
    ) -> NoReturn:
        """Always raises InferenceError with the reason."""
        raise InferenceError(self.reason)
