"""What can go wrong with a workspace."""


class WorkspaceInvalid(Exception):
    """The workspace cannot be used; the text is a sentence for the person who sent it."""
