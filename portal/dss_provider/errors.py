"""What can go wrong on the provider's side, as sentences."""


class ServiceInvalid(Exception):
    """The folder of a service cannot be used; one line for each fault."""


class AlgorithmFailed(Exception):
    """The algorithm gave no usable result; the user reads the sentence.

    ``detail`` is for the provider: the end of the error output.
    """

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


class Withdrawn(Exception):
    """The ticket was deleted, or somebody else has it now: the work stops."""
