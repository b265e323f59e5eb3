"""Section 4 of the contract, and attachments of section 6: what a provider does."""

from reference.conversation import Step
from support.builders import MAIN, SEGMENTED, LayerSpec, result_files

_PRO = "/api/pro/services"
_T = "/api/pro/tickets/1"
_AS = {"provider": "hospital", "code": "gpu, 1"}
_ALL = {"services": "{hash}"}
_RAW = {"Content-Type": "application/x-www-form-urlencoded"}

_MAIN = LayerSpec(file_name="main.nii.gz")
_RESULT = result_files(layers=(_MAIN, SEGMENTED))
_LUNGS, _WORKSPACE = _RESULT[SEGMENTED.file_name], _RESULT["result.itksnap"]
_IMAGE = _RESULT[MAIN.file_name]

FINDING = (
    Step("a stranger's services", "nobody", f"GET {_PRO}"),
    Step("a user's services", "ann", f"GET {_PRO}"),
    Step("a provider's own services", "pat", f"GET {_PRO}"),
    Step("a provider's own services in JSON", "pat", f"GET {_PRO}?format=json"),
    Step("a user claims", "ann", f"POST {_PRO}/{{hash}}/claims", form=_AS),
    Step("a user claims any", "ann", f"POST {_PRO}/claims", form={**_AS, **_ALL}),
    Step("a user asks what waits", "ann", f"POST {_PRO}/available", form=_ALL),
    Step("a claim on nothing known", "pat", f"POST {_PRO}/abc/claims", form=_AS),
    Step("claims are not listed", "pat", f"GET {_PRO}/{{hash}}/claims"),
    Step(
        "a blank in a list of services",
        "pat",
        f"POST {_PRO}/claims",
        form={**_AS, "services": "{hash}, abc"},
    ),
    Step("an empty list of services", "pat", f"POST {_PRO}/available", raw=b"services="),
    Step("no list of services", "pat", f"POST {_PRO}/claims", form=_AS),
    Step("no list of services to ask for", "pat", f"POST {_PRO}/available"),
    Step("a stranger without a list", "nobody", f"POST {_PRO}/claims"),
    Step("nothing waits", "pat", f"POST {_PRO}/available", form=_ALL),
    Step("nothing waits in JSON", "pat", f"POST {_PRO}/available?format=json", form=_ALL),
    Step("nothing to claim", "pat", f"POST {_PRO}/{{hash}}/claims", form=_AS),
    Step("nothing to claim of any", "pat", f"POST {_PRO}/claims", form={**_AS, **_ALL}),
    Step(
        "nothing to claim in JSON", "pat", f"POST {_PRO}/claims?format=json", form={**_AS, **_ALL}
    ),
    Step("a claim of nobody", "pat", f"POST {_PRO}/{{hash}}/claims"),
    Step(
        "a claim of another",
        "pat",
        f"POST {_PRO}/{{hash}}/claims",
        form={**_AS, "provider": "lab_2"},
    ),
)

CLAIMING = (
    Step("what waits", "pat", f"POST {_PRO}/available", form=_ALL),
    Step("what waits in JSON", "pat", f"POST {_PRO}/available", form={**_ALL, "format": "json"}),
    Step("a look at an unclaimed ticket", "pat", f"GET {_T}/files/input"),
    Step("the status of an unclaimed ticket", "pat", f"GET {_T}/status"),
    Step("a user asks as a provider", "ann", f"GET {_T}/status"),
    Step("a stranger asks as a provider", "nobody", f"GET {_T}/status"),
    Step("the status of no provider's ticket", "pat", "GET /api/pro/tickets/99/status"),
    Step("a claim of any", "pat", f"POST {_PRO}/claims", form={**_AS, **_ALL}),
    Step(
        "a claim of any in JSON",
        "pat",
        f"POST {_PRO}/claims",
        form={**_AS, **_ALL, "format": "json"},
    ),
    Step("the user sees the claim", "ann", "GET /api/tickets/1/log"),
    Step("the user sees the claim in detail", "ann", "GET /api/tickets/1/detail"),
    Step("the third ticket is ready", "bob", "POST /api/tickets/5/status?status=ready"),
    Step("a claim of one service", "pat", f"POST {_PRO}/{{hash}}/claims", form=_AS),
    Step("statistics of a service", "ann", "GET /api/services/{hash}/stats"),
    Step("statistics in JSON", "ann", "GET /api/services/{hash}/stats?format=json"),
)

WORKING = (
    Step("the provider's status", "pat", f"GET {_T}/status"),
    Step("the input", "pat", f"GET {_T}/files/input"),
    Step("an input file", "pat", f"GET {_T}/files/input/0"),
    Step("an input file that is not there", "pat", f"GET {_T}/files/input/99"),
    Step("the input by another", "ann", f"GET {_T}/files/input"),
    Step("an area that does not exist", "pat", f"GET {_T}/files/work"),
    Step("a progress", "pat", f"POST {_T}/progress?chunk_start=0&chunk_end=0.5&progress=0.5"),
    Step("a second chunk", "pat", f"POST {_T}/progress?chunk_start=0.5&chunk_end=1&progress=0.25"),
    Step("the progress for the provider", "pat", f"GET {_T}/progress"),
    Step("the progress for the user", "ann", "GET /api/tickets/1/progress"),
    Step("the progress in detail", "ann", "GET /api/tickets/1/detail?since=99"),
    Step(
        "a progress taken back", "pat", f"POST {_T}/progress?chunk_start=0&chunk_end=1&progress=0"
    ),
    Step("the progress is gone", "pat", f"GET {_T}/progress"),
    Step(
        "a progress that is no number",
        "pat",
        f"POST {_T}/progress?chunk_start=0&chunk_end=1&progress=x",
    ),
    Step("a progress of nothing", "pat", f"POST {_T}/progress"),
    Step("the progress by another", "ann", f"POST {_T}/progress"),
    Step(
        "a line that is not encoded",
        "pat",
        f"POST {_T}/info",
        raw="message=raw text, 100% done é".encode(),
        headers=_RAW,
    ),
    Step("a warning", "pat", f"POST {_T}/warning", form={"message": 'quoted "text"'}),
    Step("an error", "pat", f"POST {_T}/error", form={"message": "a & b"}),
    Step("an empty line", "pat", f"POST {_T}/info", raw=b"message="),
    Step("a line of no kind", "pat", f"POST {_T}/debug", form={"message": "x"}),
    Step("a line of the kind log", "pat", f"POST {_T}/log", form={"message": "x"}),
    Step("a line without words", "pat", f"POST {_T}/info"),
    Step("a line by another", "ann", f"POST {_T}/info", form={"message": "x"}),
    Step(
        "an attachment",
        "pat",
        f"POST {_T}/attachments",
        form={"desc": "A page", "mime_type": "text/plain"},
        file=("note.txt", b"hello"),
    ),
    Step(
        "an attachment of unnamed type",
        "pat",
        f"POST {_T}/attachments",
        form={"desc": "A volume, é"},
        file=("v.tar.gz", b"volume"),
    ),
    Step("an attachment without a description", "pat", f"POST {_T}/attachments", file=("a", b"x")),
    Step("an attachment without a file", "pat", f"POST {_T}/attachments", form={"desc": "x"}),
    Step(
        "an attachment by another",
        "ann",
        f"POST {_T}/attachments",
        form={"desc": "x"},
        file=("a", b"x"),
    ),
    Step(
        "the line of the attachments",
        "pat",
        f"POST {_T}/info",
        form={"message": "See these"},
        keep="line",
    ),
    Step("the user's log", "ann", "GET /api/tickets/1/log"),
    Step("the user's log in JSON", "ann", "GET /api/tickets/1/log?format=json&since=1"),
    Step("the user's detail", "ann", "GET /api/tickets/1/detail?since=2"),
    Step(
        "the attachments",
        "ann",
        "GET /api/tickets/logs/{line}/attachments",
        keep="blob",
        pattern=r"/blobs/(\w+)",
    ),
    Step("the attachments in JSON", "ann", "GET /api/tickets/logs/{line}/attachments?format=json"),
    Step("a blob without a session", "nobody", "GET /blobs/{blob}"),
    Step("an unknown blob", "nobody", "GET /blobs/" + "0" * 32),
    Step("an unknown short blob", "nobody", "GET /blobs/00000000"),
    Step("a blob in capitals", "nobody", "GET /blobs/" + "A" * 32),
    Step("a result", "pat", f"POST {_T}/files/results", file=("lungs.nii.gz", b"labels")),
    Step("the result again", "pat", f"POST {_T}/files/results", file=("lungs.nii.gz", _LUNGS)),
    Step("its workspace", "pat", f"POST {_T}/files/results", file=("result.itksnap", _WORKSPACE)),
    Step("its image", "pat", f"POST {_T}/files/results", file=("main.nii.gz", _IMAGE)),
    Step("a result by another", "ann", f"POST {_T}/files/results", file=("a", b"x")),
    Step("a result that is no file", "pat", f"POST {_T}/files/results", form={"myfile": "x"}),
    Step("an input file of the provider", "pat", f"POST {_T}/files/input", file=("b", b"x")),
    Step("the provider's results", "pat", f"GET {_T}/files/results"),
)

FINISHING = (
    Step("a status that is none", "pat", f"POST {_T}/status", form={"status": "ready"}),
    Step("no provider's status", "pat", f"POST {_T}/status"),
    Step("a status by another", "ann", f"POST {_T}/status", form={"status": "success"}),
    Step("a success", "pat", f"POST {_T}/status", form={"status": "success"}),
    Step("the user sees the success", "ann", "GET /api/tickets/1/detail?since=99"),
    Step("the user's results", "ann", "GET /api/tickets/1/files/results"),
    Step("the user's result", "ann", "GET /api/tickets/1/files/results/1"),
    Step("statistics after a success", "ann", "GET /api/services/{hash}/stats"),
    Step("statistics after a success in JSON", "ann", "GET /api/services/{hash}/stats?format=json"),
    Step("a success is not tried again", "ann", "GET /api/tickets/1/retry"),
    Step(
        "a progress before the failure",
        "pat",
        "POST /api/pro/tickets/2/progress?chunk_start=0&chunk_end=1&progress=0.5",
    ),
    Step("a failure", "pat", "POST /api/pro/tickets/2/status", form={"status": "failed"}),
    Step("the user sees the failure", "ann", "GET /api/tickets/2/detail?since=99"),
    Step("a failure is tried again", "ann", "GET /api/tickets/2/retry"),
    Step("another's failure is tried again", "bob", "GET /api/tickets/2/retry"),
    Step("what is tried again waits", "ann", "GET /api/tickets/2/detail"),
    Step("its place in the queue", "ann", "GET /api/tickets/2/queuepos"),
    Step("what is tried again is claimed", "pat", f"POST {_PRO}/{{hash}}/claims", form=_AS),
    Step("its progress begins anew", "pat", "GET /api/pro/tickets/2/progress"),
    Step("what is claimed is deleted", "bob", "GET /api/tickets/5/delete"),
    Step("the provider of a deleted ticket", "pat", "POST /api/pro/tickets/5/info?message=x"),
    Step("the files of a deleted ticket", "pat", "GET /api/pro/tickets/5/files/input"),
    Step("the status of a provider's deleted ticket", "pat", "GET /api/pro/tickets/5/status"),
    Step("a success, reported again", "pat", f"POST {_T}/status", form={"status": "success"}),
    Step("a line after the end", "pat", f"POST {_T}/info", form={"message": "late"}),
    Step("a sysadmin tries a success again", "root", "GET /api/tickets/1/retry"),
    Step("the blob of a ticket that goes", "ann", "GET /api/tickets/1/delete"),
    Step("a blob of a deleted ticket", "nobody", "GET /blobs/{blob}"),
)
