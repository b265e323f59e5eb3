"""Reads the images and landmarks, by tag, from the arguments of ``dss service test``."""

from collections.abc import Sequence
from pathlib import Path

from dss_broker.descriptor import TagType
from dss_broker.dispatch_section import IMAGE_TAGS
from dss_client.console import ExplainedError
from dss_provider.errors import AlgorithmFailed
from dss_provider.folder import ServiceFolder
from dss_provider.outcome import Point


def images_by_tag(words: Sequence[str]) -> dict[str, Path]:
    found = {}
    for word in words:
        tag, equals, path = word.partition("=")
        if not equals:
            raise ExplainedError(f"--tag {word}: TAG=FILE is needed.")
        found[tag] = Path(path).resolve()
    return found


def require_files(inputs: dict[str, Path]) -> None:
    """Raises ExplainedError if an input, by tag, is neither a file nor a folder."""
    for path in inputs.values():
        if not (path.is_file() or path.is_dir()):
            raise ExplainedError(f"There is no file {path}.")


def points_by_tag(words: Sequence[str]) -> dict[str, Point]:
    from dss_provider.output_checks import point  # noqa: PLC0415  (takes a while to import)

    found = {}
    for word in words:
        tag, _, text = word.partition("=")
        try:
            found[tag] = point(text.split(","), f"The landmark '{tag}'")
        except AlgorithmFailed as error:
            raise ExplainedError(f"--landmark {word}: {error}") from error
    return found


def require_tags(service: ServiceFolder, inputs: dict[str, Path], places: dict[str, Point]) -> None:
    """Raises ExplainedError if ``inputs`` has a tag that is not an image tag of the service, if ``places`` has one that is not
    a landmark tag, or if a required tag of these kinds is missing.  Other kinds of tags are not checked.
    """
    for sent, kinds, option in (
        (set(inputs), IMAGE_TAGS, "--tag TAG=FILE"),
        (set(places), (TagType.LANDMARK,), "--landmark TAG=X,Y,Z"),
    ):
        tags = {tag.name: tag.required for tag in service.descriptor.tags if tag.type in kinds}
        if unknown := sorted(sent - set(tags)):
            known = ", ".join(tags) or "none"
            raise ExplainedError(
                f"The service has no tag '{unknown[0]}' for {option}; it has {known}."
            )
        if missing := [name for name, required in tags.items() if required and name not in sent]:
            raise ExplainedError(f"The service requires '{missing[0]}': {option}.")
