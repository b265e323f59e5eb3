"""Keeps the ORM Tortoise from searching the source code of each model for comments, which slows every start down."""

from tortoise import models


def install() -> None:
    """Replace the search for comments.  Call it before the models are defined.  Idempotent.

    Tortoise 1.1.9 (see ``patches.CHECKED``) parses a model's whole module once for each of its classes, to find
    descriptions of fields in comments (``#:``).  Our models have none, and this takes 0.15 s of CPU time at each start
    of a program.
    """
    models._get_comments = _no_comments  # noqa: SLF001 - the workaround


def _no_comments(cls: type[models.Model]) -> dict[str, str]:  # noqa: ARG001 - as Tortoise calls it
    return {}
