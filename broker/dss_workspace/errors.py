"""The error of a workspace that cannot be used."""


class WorkspaceInvalid(Exception):
    """The workspace cannot be used; the text is a sentence for its sender."""
