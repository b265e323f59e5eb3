"""Makes the replies to a request for inference that are not a finished inference."""

from dss_broker.messages import InferenceFailed, InferenceProgressed, RunInference


def progressed(message: RunInference, fraction: float, stage: str) -> InferenceProgressed:
    """The reply that reports progress: the finished fraction (0..1) and the current stage."""
    return InferenceProgressed(
        ticket_id=message.ticket_id, claim_id=message.claim_id, fraction=fraction, stage=stage
    )


def failed(message: RunInference, reason: str) -> InferenceFailed:
    """The reply that reports a failure; ``reason`` is a sentence for the user."""
    return InferenceFailed(ticket_id=message.ticket_id, claim_id=message.claim_id, reason=reason)
