"""A site with something of everything on its pages: users, services, and a ticket in each state."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

import dss_dispatch
from dss_broker.messages import ServiceAnnounced
from dss_broker.rabbit import RabbitBroker
from dss_inference.device.runner import Runner
from dss_phantom.chest import PhantomSpec, make_phantom
from support.builders import result_files
from support.sites import ROOT, Site, attach, claim, finish, new_ticket
from support.waiting import wait_until

PROVIDER, CLAIMER = "radiology-lab", "lab@example.com"
USER = "maria.lindqvist@hospital.example.org"
LUNGS, NODULES, OFFLINE = "lung-segmentation", "nodule-detection", "airway-tree"
FOLDER = Path(dss_dispatch.__path__[0]) / "services"
COARSE, FINE = ((64, 64, 52), 6.0), ((176, 176, 144), 2.2)
"""Size and spacing in mm of the chest that is shown."""

RIGHTS = {
    "report": "html",
    "result": "The workspace with a segmentation of two labels, left and right lung, and their volumes.",
    "licence": "Apache-2.0",
    "citation": "Lindqvist M, Okafor C. Lungs in CT by rules alone. J Imaging Inform 2026; 12:345-356.\ndoi:10.0000/example",
    "accuracy": "Dice 0.97 (0.94 to 0.99) over 60 scans of LOLA11; worse where lungs are consolidated.",
}
FINDINGS = b"nodule,lobe,diameter (mm),volume (ml)\n1,right upper,7.4,0.21\n2,left lower,5.1,0.07\n"
TOKEN = ("tokens", "create", CLAIMER, "--scope", "provider", "--name", "claims at night")
REPORT = b"Left lung 3356 ml, right lung 3432 ml, ratio 0.98.\nMedian -852 HU.\nNo flag.\n"
SEVERAL = "The upload has 2 series; choose one."
SERIES = [
    {"word": "1.2.3.4", "line": "CT, 312 slices, 512 x 512, thorax B70f"},
    {"word": "1.2.3.5", "line": "CT, 80 slices, 512 x 512, thorax B30f"},
]
CASES = (
    "P001_first-visit.nii.gz",
    "P002/CT_thorax",
    "CT_thorax_2026-11-03_B70f_1mm_after-treatment_series-0004_reconstruction_of_the_second_reading.nii.gz",
    "P004_thorax.nrrd",
    "P005/airways",
    "P006_thorax.mha",
    "P007_thorax.zip",
    "P008/topogram",
    "P009_thorax.nii.gz",
    "P010_thorax.nii.gz",
)
WARNING = (
    "The lungs touch the border of the image; what lies outside is missing from their volumes."
)


@dataclass(frozen=True, kw_only=True)
class Showcase:
    """Numbers of tickets; ``user`` is signed in as their owner."""

    site: Site
    user: httpx.Client
    good: int
    warned: int
    failed: int
    at_work: int
    waiting: int
    unsubmitted: int
    going: int


@contextmanager
def arranged(
    site: Site, folder: Path, chest: tuple[tuple[int, int, int], float]
) -> Iterator[Showcase]:
    """Fill the site; ``chest`` is COARSE or FINE."""
    _offer(site, folder)
    with (
        site.program(ROOT, "--sysadmin") as root,
        site.program(USER, "--tier", "poweruser") as user,
        site.program(CLAIMER) as lab,
    ):
        for email in (CLAIMER, ROOT):
            form = {"email": email}
            root.post(f"/api/admin/providers/{PROVIDER}/users", data=form).raise_for_status()
        root.post("/api/admin/providers", data={"name": "empty-lab"}).raise_for_status()
        site.stack.command(*TOKEN)
        _letter(site, root)
        shown = _tickets(site, user, lab, chest)
        _told(site)
        yield shown


def _offer(site: Site, folder: Path) -> None:
    for name in (LUNGS, NODULES):
        descriptor = json.loads((FOLDER / name / "service.json").read_text("utf-8"))
        descriptor.pop("dispatch")
        if name == LUNGS:
            site.offer(folder, PROVIDER, **{**descriptor, "version": "1.0.0"})
            descriptor |= RIGHTS
        site.offer(folder, PROVIDER, **descriptor)
    site.offer(
        folder,
        PROVIDER,
        name=OFFLINE,
        version="0.3.0-rc.1",
        shortdesc="Trachea and bronchi down to the sixth generation, in CT at full inspiration",
        longdesc="<p>A tree of labels, one for each generation.</p><p>Slow: ten minutes and more.</p>",
    )
    site.sql("UPDATE service SET current = false WHERE name = $1 AND version = '1.0.0'", LUNGS)


def _tickets(
    site: Site, user: httpx.Client, lab: httpx.Client, chest: tuple[tuple[int, int, int], float]
) -> Showcase:
    size, spacing = chest
    phantom = make_phantom(
        PhantomSpec(size=size, spacing_mm=(spacing,) * 3, nodules=2), Runner("cpu")
    )
    dimensions = " ".join(map(str, size))
    files = result_files(phantom.ct, phantom.truth, dimensions=dimensions)
    for grey in (b"84 155 224", b"240 146 88"):  # the labels' colours, which the builder gives none
        files["result.itksnap"] = files["result.itksnap"].replace(b"9 9 9", grey, 1)
    failed = _ended(user, lab, "failed")
    going = _ended(user, lab, "failed")
    good = _ended(user, lab, "success", files, attachments=True)
    warned = _ended(user, lab, "success", files, warning=WARNING)
    at_work = new_ticket(user, LUNGS)
    claim(lab, PROVIDER, LUNGS)
    path = f"/api/pro/tickets/{at_work}"
    lab.post(
        f"{path}/info", data={"message": "Image read: 512 x 512 x 300 voxels of 0.7 x 0.7 x 1 mm."}
    )
    lab.post(f"{path}/progress", data={"chunk_start": "0", "chunk_end": "1", "progress": "0.4"})
    waiting = new_ticket(user, OFFLINE)
    unsubmitted = int(user.post("/api/tickets", data={"name": LUNGS}).text)
    titles = {
        good: "Phantom, first visit",
        warned: "CT_thorax_2026-11-03_B70f_1mm_after-treatment_series-0004_reconstruction.nii.gz",
        waiting: "Airways of the pilot study",
    }
    for number, title in titles.items():
        site.sql("UPDATE ticket SET title = $2 WHERE id = $1", number, title)
    site.sql("UPDATE ticket SET verdict = 'good' WHERE id = $1", good)
    site.sql("UPDATE ticket SET verdict = 'look at it' WHERE id = $1", warned)
    site.sql("UPDATE ticket SET delete_at = now() + interval '1 hour' WHERE id = $1", going)
    _batch(
        site, user, {good: LUNGS, warned: LUNGS, failed: LUNGS, at_work: LUNGS, waiting: OFFLINE}
    )
    return Showcase(
        site=site,
        user=user,
        good=good,
        warned=warned,
        failed=failed,
        at_work=at_work,
        waiting=waiting,
        unsubmitted=unsubmitted,
        going=going,
    )


def _ended(
    user: httpx.Client,
    lab: httpx.Client,
    status: str,
    files: dict[str, bytes] | None = None,
    *,
    warning: str = "",
    attachments: bool = False,
) -> int:
    number = new_ticket(user, LUNGS)
    assert claim(lab, PROVIDER, LUNGS) == number
    path = f"/api/pro/tickets/{number}"
    lab.post(
        f"{path}/info", data={"message": "Image read: 512 x 512 x 300 voxels of 0.7 x 0.7 x 1 mm."}
    )
    lab.post(f"{path}/info", data={"message": "Lungs segmented on a GPU in 3.2 s."})
    if warning:
        lab.post(f"{path}/warning", data={"message": warning})
    if attachments:
        attach(lab, number, "nodules.csv", FINDINGS, "Nodules")
        attach(lab, number, "quality.txt", REPORT, "Quality of the segmentation")
    if status == "failed":
        why = "The image has values from 0 to 255; this service needs a CT in Hounsfield units."
        lab.post(f"{path}/error", data={"message": why})
    finish(lab, number, status, files)
    return number


def _batch(site: Site, user: httpx.Client, queued: dict[int, str]) -> None:
    """Cases that the user sends from the browser, in each state: ``queued`` are tickets by number, with their service;
    of the others one is read, two were refused, and two are not uploaded.
    """
    read, several, wrong, cut = (
        int(user.post("/api/tickets", data={"name": LUNGS}).text) for _ in range(4)
    )
    for number, state, reason, series in (
        (read, "reading", "", "[]"),
        (several, "refused", SEVERAL, json.dumps(SERIES)),
        (wrong, "refused", "The image has 2 dimensions; 3 are needed.", "[]"),
        (cut, "coming", "", "[]"),
    ):
        site.sql(
            "INSERT INTO intake (ticket_id, attempt_id, state, request, asked_at, reason, series) "
            "VALUES ($1, $2, $3, '{}', now(), $4, $5)",
            number,
            f"{number:032x}",
            state,
            reason,
            series,
        )
    tickets = [*queued.items(), *((number, LUNGS) for number in (read, several, wrong, cut, 0))]
    cases = [
        {
            "key": f"case-{place}",
            "name": CASES[place],
            "service": service,
            "size_bytes": 7_340_032 * (place + 1),
            "files": 1 + 311 * (place % 3 == 1),
            "ticket": number,
        }
        for place, (number, service) in enumerate(tickets)
    ]
    user.post("/api/batch", data={"cases": json.dumps(cases)}).raise_for_status()


def _letter(site: Site, root: httpx.Client) -> None:
    """A message that nobody can handle."""
    broken = ServiceAnnounced(service="x", provider="dss", instance="i", descriptor={"name": 1})
    broker = RabbitBroker(site.stack.amqp_url, "test", "showcase")
    broker.publish(broken, message_id="6f1c0a52d1f84b3f9a5e").result(15)
    wait_until(lambda: "6f1c0a52" in root.get("/api/admin/dead-letters").text, 15, site.stack.logs)
    broker.close()


def _told(site: Site) -> None:
    """The user is told by a webhook and by ntfy; one message was not taken."""
    channel = (
        "INSERT INTO notification_channel (user_id, kind, address, told_at) "
        "SELECT id, $1, $2, now() FROM user_account WHERE email = $3"
    )
    site.sql(channel, "ntfy", "https://ntfy.example.org/lungs-of-the-pilot-study-8f2c", USER)
    site.sql(channel, "webhook", "https://hooks.example.org/dss", USER)
    site.sql(
        "INSERT INTO notification (channel_id, key, ticket_id, service, outcome, ended_at, created_at, set_aside_at, reason) "
        "SELECT c.id, 'showcase', 3, $2, 'failed', now(), now(), now(), $1 FROM notification_channel c "
        "JOIN user_account u ON u.id = c.user_id WHERE kind = 'webhook' AND email = $3",
        "hooks.example.org answered 503.",
        LUNGS,
        USER,
    )
    site.sql("UPDATE notification SET not_before = now() + interval '1 hour'")
