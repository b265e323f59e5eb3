"""A provider's daemon written with the Python client itksnap-dss 0.2.0; runs in an environment of its own.

Arguments: address of the server, one-time token, folder to work in.  The folder has ``note.txt`` and
the result's workspace ``result.itksnap``, and ``bad.itksnap``, which the server refuses.  Prints what the client made of the answers, as JSON.
"""

import json
import sys
from pathlib import Path

import httpx
from itksnap_dss.itksnap_dss import DSSClient  # type: ignore[import-not-found]  # installed in an environment of its own

url, token, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
with (folder / "talk.txt").open("w") as sys.stdout:  # the client prints what it does
    client = DSSClient(url)
    client.login(token)
    client.login_if_needed()
    services = client.dssp_list_services()
    hashes, provider = list(services["hash"]), services["provider"].iloc[0]
    waiting = client.dssp_available_services(hashes)
    claimed = client.dssp_wait_for_ticket(hashes, provider, "gpu0", timeout=10, interval=1)
    ticket = int(claimed["ticket"].iloc[0])
    client.dssp_download_ticket(ticket, str(folder / "input"))
    client.dssp_log(ticket, "info", "Ticket successfully downloaded, 100% é")
    client.dssp_set_progress(ticket, 0.5, chunk_start=0.0, chunk_end=0.5)
    client.dssp_attach(ticket, "A note", str(folder / "note.txt"), "text/plain")
    client.dssp_log(ticket, "warning", "See the note")
    client.dssp_upload_ticket(ticket, str(folder / "bad.itksnap"), "_results")
    try:
        client.dssp_set_status(ticket, "success")
        refusal = ""
    except httpx.HTTPStatusError as error:
        refusal = error.response.text
    client.dssp_upload_ticket(ticket, str(folder / "result.itksnap"), "_results")
    client.dssp_set_progress(ticket, 1.0)
    client.dssp_set_status(ticket, "success")
    told = {
        "services": services.values.tolist(),
        "refusal": refusal,
        "waiting": waiting.values.tolist(),
        "claimed": claimed.values.tolist(),
        "nothing_waits": client.dssp_available_services(hashes) is None,
        "nothing_to_claim": client.dssp_claim_ticket(hashes, provider, "gpu0") is None,
    }
print(json.dumps(told), file=sys.__stdout__)
