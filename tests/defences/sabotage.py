"""The defences that the tests are tried against: each is a line or two of a program, and tests that miss it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sabotage:
    """In ``file``, ``line`` stands once and becomes ``instead``; then one of ``tests`` fails."""

    name: str
    file: str
    line: str
    instead: str
    tests: tuple[str, ...]


SABOTAGES = (
    Sabotage(
        name="an old claim is heard (no fencing)",
        file="portal/dss_portal/tickets/lifecycle.py",
        line="return ticket.status is Status.CLAIMED and ticket.claim_id == claim_id",
        instead="return ticket.status is Status.CLAIMED",
        tests=("tests/unit/portal/test_ticket_model.py",),
    ),
    Sabotage(
        name="the outbox forgets a message before the broker has it",
        file="portal/dss_portal/outbox/relay.py",
        line="                    await confirmed\n",
        instead="                    del confirmed\n",
        tests=("tests/integration/test_portal_outbox_faults.py",),
    ),
    Sabotage(
        name="files are not flushed to disk",
        file="broker/dss_datastore/writing.py",
        line="        os.fsync(handle)",
        instead="        pass",
        tests=("tests/unit/broker/test_datastore_writing.py",),
    ),
    Sabotage(
        name="several tickets of a service are granted at a time",
        file="portal/dss_portal/tickets/claims.py",
        line="await queue.serialise([request.service])",
        instead="pass",
        tests=(
            "tests/integration/test_portal_queue.py",
            "tests/integration/test_portal_queue_messages.py",
        ),
    ),
    Sabotage(
        name="each portal tells a log when its ticket will be done",
        file="portal/dss_portal/estimates/ticket_logs.py",
        line="        AND ticket.expected_at IS NOT DISTINCT FROM due.before\n",
        instead="",
        tests=("tests/integration/test_portal_estimates.py",),
    ),
    Sabotage(
        name="a provider that ends its ticket counts as gone until it polls",
        file="portal/dss_portal/providers/routes.py",
        line="        await store.record_sign_of_life([await ticket.service])\n",
        instead="        pass\n",
        tests=(
            "tests/integration/test_portal_liveness.py",
            "tests/integration/test_portal_absences.py",
            "tests/integration/test_portal_silent_providers.py",
        ),
    ),
    Sabotage(
        name="a ticket is changed without the lock on its row",
        file="portal/dss_portal/tickets/store.py",
        line="return await Ticket.select_for_update().get_or_none(id=ticket_id)",
        instead="return await Ticket.get_or_none(id=ticket_id)",
        tests=("tests/integration/test_portal_transactions.py",),
    ),
    Sabotage(
        name="a segmentation of another grid is handed out",
        file="dispatch-consumers/dss_dispatch/result/gate.py",
        line='require(difference == "", f"the segmentation does not lie on its image: {difference}")',
        instead="del difference",
        tests=("tests/unit/dispatch/test_dispatch_gate.py",),
    ),
    Sabotage(
        name="pages of other sites may act with a session",
        file="portal/dss_portal/accounts/origins.py",
        line='raise Refused("Requests from other web sites are not accepted.", 403)',
        instead="pass",
        tests=("tests/integration/test_portal_other_sites.py",),
    ),
    Sabotage(
        name="a message counts as published when it is written to the socket",
        file="broker/dss_broker/rabbit/publisher.py",
        line="        self._in_flight[self._last_tag] = publication",
        instead="        publication.confirmed.set_result(None)",
        tests=(
            "tests/unit/broker/test_broker_publisher.py",
            "tests/unit/broker/test_broker_publisher_closes.py",
        ),
    ),
    Sabotage(
        name="files of a ticket are removed before its deletion is committed",
        file="portal/dss_portal/tickets/submission.py",
        line="        await forget(ticket)\n",
        instead="        await datastore.remove_ticket(ticket_id)\n        await forget(ticket)\n",
        tests=("tests/integration/test_portal_transactions.py",),
    ),
    Sabotage(
        name="an input file that arrives late replaces a newer one",
        file="broker/dss_datastore/writing.py",
        line="        os.link(temporary, target, follow_symlinks=False)\n    except (FileExists",
        instead="        temporary.replace(target)\n    except (FileExists",
        tests=("tests/integration/test_portal_late_inputs.py",),
    ),
    Sabotage(
        name="an image that is not in Hounsfield units is segmented",
        file="gpu-inference/dss_inference/ct/reading.py",
        line="if lowest > _NO_HU_ABOVE or highest < _NO_HU_ABOVE:",
        instead="if lowest > highest:",
        tests=("tests/unit/inference/test_inference_images.py",),
    ),
    Sabotage(
        name="a user may have any number of open tickets",
        file="portal/dss_portal/tickets/quota.py",
        line="if len(counted) >= tier.max_tickets:",
        instead="if len(counted) < 0:",
        tests=(
            "tests/integration/test_portal_quota.py",
            "tests/integration/test_portal_open_tickets.py",
        ),
    ),
    Sabotage(
        name="a mesh that lies beside the image is handed out",
        file="broker/dss_images/mesh/surface.py",
        line="if not _lies_in(points * TO_LPS, grid):",
        instead="if not len(points):",
        tests=("tests/unit/dispatch/test_dispatch_provided.py",),
    ),
    Sabotage(
        name="a link that a container wrote is followed",
        file="portal/dss_provider/output_folder.py",
        line="        _require_plain(folder / name)",
        instead="        pass",
        tests=(
            "tests/unit/provider/test_provider_containers.py",
            "tests/unit/provider/test_provider_engines.py",
        ),
    ),
)
