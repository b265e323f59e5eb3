"""Checks the results of HTTP providers when a portal requests it, and replies whether they are accepted."""

import logging
from pathlib import Path, PurePosixPath

from dss_broker.broker import Broker, Delivery
from dss_broker.messages import CheckResults, ResultsAccepted, ResultsRefused
from dss_broker.topology import RESULT_CHECKS
from dss_datastore import layout
from dss_datastore.access import Access, SharedDatastore
from dss_datastore.folder import shared
from dss_datastore.space import is_disk_full
from dss_datastore.volume import is_away
from dss_dispatch.errors import ResultRefused, TicketError
from dss_dispatch.result.presentation import present
from dss_dispatch.result.provider_results import check_provider_results

log = logging.getLogger(__name__)

AWAY = "The program that checks results does not reach their files now; set the status again in a while."
UNEXPECTED = (
    "The check of the results broke off with an unexpected error. Please tell the operator the "
    "ticket's number."
)
FILES_GONE = "A file went away while the results were checked; set the status again."


def serve_checks(broker: Broker, datastore: Path | SharedDatastore) -> None:
    """Answer requests to check results from now on, one at a time.  If ``datastore`` is a path, it is the datastore's
    folder.
    """
    broker.consume(RESULT_CHECKS, CheckRequestHandler(shared(datastore)).handle)


class CheckRequestHandler:
    """Handles the messages of the subscription ``topology.RESULT_CHECKS``.  A request that has waited longer than its
    ``patience_s`` gets no reply.
    """

    def __init__(self, datastore: SharedDatastore) -> None:
        self._datastore = datastore
        self._least_age_s = float("inf")

    def handle(self, delivery: Delivery) -> None:
        request = delivery.message
        if not isinstance(request, CheckResults):
            raise TypeError(f"{type(request).__name__} is no request to check results")
        facts = {"ticket": request.ticket_id, "claim": request.claim_id}
        if self._waited_s(delivery) > request.patience_s:
            log.info("results not checked, since nobody waits any more", extra=facts)
            return
        try:
            with self._datastore.access() as access:
                judged = self._verdict(request, access)
                answer = _answer(request, judged, access)
        except OSError:
            log.exception("no place for the files of a check", extra=facts)
            judged = AWAY
            answer = _refused(request, AWAY)
        log.info("results checked", extra={**facts, "accepted": not isinstance(judged, str)})
        delivery.reply(answer)

    def _waited_s(self, delivery: Delivery) -> float:
        """Seconds that the request has waited, less the shortest wait that was seen.  This removes the difference
        between two machines' clocks, which every measured wait contains.
        """
        age_s = delivery.age_s or 0.0
        self._least_age_s = min(self._least_age_s, age_s)
        return age_s - self._least_age_s

    def _verdict(self, request: CheckResults, access: Access) -> str | tuple[str, ...]:
        """A sentence that says why the results are refused, or a tuple of remarks if they are accepted.  It does not
        raise, because the portal waits for an answer.
        """
        if self._datastore.problem():
            return AWAY
        try:
            for folder in (request.results_dir, request.input_dir):
                access.fetch(PurePosixPath(folder))
            results, sent = access.root / request.results_dir, access.root / request.input_dir
            return check_provider_results(
                results, request.names, sent, has_attachments=request.has_attachments
            )
        except ResultRefused as error:
            return f"{error.finding[:1].upper()}{error.finding[1:]}."
        except TicketError as error:
            return str(error)
        except OSError as error:
            if is_away(error) or is_disk_full(error):
                log.warning("results not reached", extra={"reason": repr(error)})
                return AWAY
            return FILES_GONE
        except Exception:
            log.exception("check of results broke off", extra={"ticket": request.ticket_id})
            return UNEXPECTED


def _answer(
    request: CheckResults, judged: str | tuple[str, ...], access: Access
) -> ResultsAccepted | ResultsRefused:
    if isinstance(judged, str):
        return _refused(request, judged)
    results, sent = access.root / request.results_dir, access.root / request.input_dir
    folder = layout.attached_dir(request.ticket_id, request.claim_id)
    shown = present(results, sent, access.root / folder)
    attachments = shown.attachments if _is_put(access, folder) else ()
    return ResultsAccepted(
        ticket_id=request.ticket_id,
        claim_id=request.claim_id,
        attachments=attachments,
        labels=shown.labels,
        remarks=(*judged, *shown.remarks),
    )


def _refused(request: CheckResults, reason: str) -> ResultsRefused:
    return ResultsRefused(ticket_id=request.ticket_id, claim_id=request.claim_id, reason=reason)


def _is_put(access: Access, folder: PurePosixPath) -> bool:
    """Store the picture's folder so that the portal can read it.  False if that fails, because results are not refused
    for lack of a picture.
    """
    try:
        access.put(folder)
    except OSError:
        log.exception("picture not stored")
        return False
    return True
