"""What can go wrong inside an inference worker."""


class InferenceError(Exception):
    """The image or the request cannot be served; the text is a sentence for the user."""


class Cancelled(Exception):
    """Nobody waits for this inference any more; what was computed is to be dropped."""


def innermost(error: BaseException) -> BaseException:
    """What went wrong first: MONAI wraps an error into another for every level of a configuration."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
