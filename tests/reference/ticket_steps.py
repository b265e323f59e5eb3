"""Section 3 of the contract: services and tickets as ITK-SNAP uses them."""

from reference.conversation import Step

_T = "/api/tickets/1"
_PLAIN = {"Content-Type": "application/x-www-form-urlencoded"}

SUBMITTING = (
    Step("a stranger lists services", "nobody", "GET /api/services"),
    Step("the services", "ann", "GET /api/services"),
    Step("the services in JSON", "ann", "GET /api/services?format=json"),
    Step("a description", "ann", "GET /api/services/{hash}/detail", unordered=True),
    Step("an unknown description", "ann", "GET /api/services/abc/detail"),
    Step("a stranger reads a description", "nobody", "GET /api/services/{hash}/detail"),
    Step("statistics of the unknown", "ann", "GET /api/services/abc/stats"),
    Step("no tickets", "ann", "GET /api/tickets"),
    Step("no tickets in JSON", "ann", "GET /api/tickets?format=json"),
    Step("a stranger lists tickets", "nobody", "GET /api/tickets"),
    Step("a ticket by name", "ann", "POST /api/tickets", form={"name": "lung-segmentation"}),
    Step(
        "a ticket by hash",
        "ann",
        "POST /api/tickets",
        form={"githash": "{hash}", "name": "something else"},
    ),
    Step("a stranger makes a ticket", "nobody", "POST /api/tickets", form={"name": "x"}),
    Step("a ticket of an unknown name", "ann", "POST /api/tickets", form={"name": "brains, é"}),
    Step("a ticket of an unknown hash", "ann", "POST /api/tickets", form={"githash": "abc"}),
    Step("a ticket of nothing", "ann", "POST /api/tickets"),
    *(
        Step(f"ticket {number} of ten", "bob", "POST /api/tickets?name=lung-segmentation")
        for number in range(1, 11)
    ),
    Step("one ticket too many", "bob", "POST /api/tickets?name=lung-segmentation"),
    Step("the quota after the service", "bob", "POST /api/tickets", form={"name": "brains"}),
    Step("the tickets", "ann", "GET /api/tickets"),
    Step("the tickets in JSON", "ann", "GET /api/tickets?format=json"),
    Step("a sysadmin's own tickets", "root", "GET /api/tickets"),
    Step("no files", "ann", f"GET {_T}/files/input"),
    Step("a file", "ann", f"POST {_T}/files/input", file=("scan.nii.gz", b"voxels \x00\xff")),
    Step("a file in a folder", "ann", f"POST {_T}/files/input", file=("C:\\x\\a b, c.txt", b"x")),
    Step("a file among the results", "ann", f"POST {_T}/files/results", file=("early", b"x")),
    Step("a file for no area", "ann", f"POST {_T}/files/work", file=("a", b"x")),
    Step("a file that is only a field", "ann", f"POST {_T}/files/input", form={"myfile": "x"}),
    Step("a file by a stranger", "nobody", f"POST {_T}/files/input", file=("a", b"x")),
    Step("a file by another user", "pat", f"POST {_T}/files/input", file=("a", b"x")),
    Step("a file by a sysadmin", "root", f"POST {_T}/files/input", file=("late.txt", b"y")),
    Step("the files", "ann", f"GET {_T}/files/input"),
    Step("the files are never JSON", "ann", f"GET {_T}/files/input?format=json"),
    Step("the files of another area", "ann", f"GET {_T}/files/results"),
    Step("the files of no area", "ann", f"GET {_T}/files/work"),
    Step("a download", "ann", f"GET {_T}/files/input/0"),
    Step("a download with a comma", "ann", f"GET {_T}/files/input/1"),
    Step("a download in part", "ann", f"GET {_T}/files/input/0", headers={"Range": "bytes=0-1"}),
    Step("a download of nothing", "ann", f"GET {_T}/files/input/99"),
    Step("a download by another user", "pat", f"GET {_T}/files/input/0"),
    Step("a new ticket's status", "ann", f"GET {_T}/status"),
    Step("a new ticket's log", "ann", f"GET {_T}/log"),
    Step("a new ticket's progress", "ann", f"GET {_T}/progress"),
    Step("a new ticket's place", "ann", f"GET {_T}/queuepos"),
    Step("a new ticket's detail", "ann", f"GET {_T}/detail"),
    Step("a status that does not exist", "ann", f"POST {_T}/status", form={"status": "done"}),
    Step("no status", "ann", f"POST {_T}/status"),
    Step("the status by a stranger", "nobody", f"POST {_T}/status", form={"status": "ready"}),
    Step("the status by another user", "bob", f"POST {_T}/status", form={"status": "ready"}),
    *(
        Step(
            f"a file of the second ticket, {count}",
            "ann",
            "POST /api/tickets/2/files/input",
            file=(name, b"x"),
        )
        for count, name in enumerate(("b", "a", "b"), start=1)
    ),
    Step("the order of files", "ann", "GET /api/tickets/2/files/input"),
    Step(
        "a file that begins with a dot", "ann", "POST /api/tickets/2/files/input", file=(".a", b"x")
    ),
    Step("a file without a name", "ann", "POST /api/tickets/2/files/input", file=("..", b"x")),
    Step("the ticket is ready", "ann", f"POST {_T}/status", raw=b"status=ready", headers=_PLAIN),
    Step("the ticket is ready again", "ann", f"POST {_T}/status", form={"status": "ready"}),
    Step("a file that is too late", "ann", f"POST {_T}/files/input", file=("a", b"x")),
    Step("a sysadmin's late file", "root", f"POST {_T}/files/input", file=("late.txt", b"z")),
    Step("a waiting ticket is not tried again", "ann", f"GET {_T}/retry"),
)

WAITING = (
    Step("a waiting ticket's status", "ann", f"GET {_T}/status"),
    Step("a ticket's status with zeros", "ann", "GET /api/tickets/0001/status"),
    Step("the status of no ticket", "ann", "GET /api/tickets/99/status"),
    Step("the status of another's ticket", "bob", f"GET {_T}/status"),
    Step("a sysadmin reads a status", "root", f"GET {_T}/status"),
    Step("a sysadmin reads no ticket", "root", "GET /api/tickets/99/status"),
    Step("a sysadmin reads no detail", "root", "GET /api/tickets/99/detail"),
    Step("a waiting ticket's log", "ann", f"GET {_T}/log"),
    Step("a waiting ticket's log in JSON", "ann", f"GET {_T}/log?format=json"),
    Step("the log since the last line", "ann", f"GET {_T}/log?since=1"),
    Step("the log since no number", "ann", f"GET {_T}/log?since=x"),
    Step("the log of another's ticket", "bob", f"GET {_T}/log"),
    Step("the place of the first ticket", "ann", f"GET {_T}/queuepos"),
    Step("the second ticket is ready", "ann", "POST /api/tickets/2/status?status=ready"),
    Step("the place of the second ticket", "ann", "GET /api/tickets/2/queuepos"),
    Step("the place of another's ticket", "bob", f"GET {_T}/queuepos"),
    Step("a waiting ticket's detail", "ann", f"GET {_T}/detail"),
    Step("a detail since the last line", "ann", "GET /api/tickets/2/detail?since=99"),
    Step("the detail of another's ticket", "bob", f"GET {_T}/detail"),
    Step("a waiting ticket's progress", "ann", f"GET {_T}/progress"),
    Step("the progress of another's ticket", "bob", f"GET {_T}/progress"),
    Step("no attachments", "ann", "GET /api/tickets/logs/1/attachments"),
    Step("the attachments of no line", "ann", "GET /api/tickets/logs/99/attachments"),
    Step("the attachments of another's line", "bob", "GET /api/tickets/logs/1/attachments"),
    Step("a sysadmin and another's attachments", "root", "GET /api/tickets/logs/1/attachments"),
)

DELETING = (
    Step("a ticket goes", "bob", "GET /api/tickets/3/delete"),
    Step("a ticket goes twice", "bob", "GET /api/tickets/3/delete"),
    Step("another's ticket goes", "bob", f"GET {_T}/delete"),
    Step("no ticket goes", "ann", "GET /api/tickets/99/delete"),
    Step("a ticket goes by POST", "bob", "POST /api/tickets/4/delete"),
    Step("a sysadmin deletes", "root", "GET /api/tickets/4/delete"),
    Step("the status of a deleted ticket", "bob", "GET /api/tickets/3/status"),
    Step("the detail of a deleted ticket", "bob", "GET /api/tickets/3/detail"),
    Step("a deleted ticket is ready", "bob", "POST /api/tickets/3/status?status=ready"),
    Step("deleted tickets are not listed", "bob", "GET /api/tickets"),
    Step("room for another ticket", "bob", "POST /api/tickets?name=lung-segmentation"),
)
