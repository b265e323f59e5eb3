"""What a worker answers, but for what it has found."""

from dss_broker.messages import InferenceFailed, InferenceProgressed, RunInference


def progressed(request: RunInference, fraction: float, stage: str) -> InferenceProgressed:
    return InferenceProgressed(
        ticket_id=request.ticket_id, claim_id=request.claim_id, fraction=fraction, stage=stage
    )


def failed(request: RunInference, reason: str) -> InferenceFailed:
    return InferenceFailed(ticket_id=request.ticket_id, claim_id=request.claim_id, reason=reason)
