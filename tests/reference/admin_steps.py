"""Section 7 of the contract: providers, their users and services, all tickets."""

from reference.conversation import Step

_PROVIDER = "/api/admin/providers/hospital"

ENROLLING = (
    Step("a stranger manages", "nobody", "GET /api/admin/providers"),
    Step("a user manages", "ann", "GET /api/admin/providers"),
    Step("no providers", "root", "GET /api/admin/providers"),
    Step("no providers in JSON", "root", "GET /api/admin/providers?format=json"),
    Step("a new provider", "root", "POST /api/admin/providers", form={"name": "hospital"}),
    Step("the provider again", "root", "POST /api/admin/providers", form={"name": "hospital"}),
    Step("a second provider", "root", "POST /api/admin/providers?name=lab_2"),
    Step("a provider without a name", "root", "POST /api/admin/providers"),
    Step("the providers", "root", "GET /api/admin/providers"),
    Step("the providers in JSON", "root", "GET /api/admin/providers?format=json"),
    Step("no users of a provider", "root", f"GET {_PROVIDER}/users"),
    Step(
        "a provider's user",
        "root",
        f"POST {_PROVIDER}/users",
        form={"email": "pat@example.com", "admin": "1"},
    ),
    Step(
        "a provider's user without rights",
        "root",
        f"POST {_PROVIDER}/users",
        form={"email": "bob@example.com"},
    ),
    Step("an unknown user", "root", f"POST {_PROVIDER}/users", form={"email": "x@example.com"}),
    Step("a user without an address", "root", f"POST {_PROVIDER}/users"),
    Step(
        "a user with odd rights",
        "root",
        f"POST {_PROVIDER}/users",
        form={"email": "pat@example.com", "admin": "yes"},
    ),
    Step("a provider's users", "root", f"GET {_PROVIDER}/users"),
    Step("a provider's users in JSON", "root", f"GET {_PROVIDER}/users?format=json"),
    Step("a provider's user goes", "root", f"GET {_PROVIDER}/users/4/delete"),
    Step("a user who is none goes", "root", f"GET {_PROVIDER}/users/99/delete"),
    Step("who is left", "root", f"GET {_PROVIDER}/users"),
    Step("no services of a provider", "root", f"GET {_PROVIDER}/services"),
    Step(
        "a service",
        "root",
        f"POST {_PROVIDER}/services",
        form={"repo": "{repository}", "ref": "main"},
        keep="hash",
    ),
    Step(
        "the service again by its commit",
        "root",
        f"POST {_PROVIDER}/services",
        form={"repo": "{repository}", "ref": "{hash}"},
    ),
    Step(
        "another service with its name and version",
        "root",
        f"POST {_PROVIDER}/services",
        form={"repo": "{twin_repository}", "ref": "main"},
    ),
    Step(
        "a repository without a descriptor",
        "root",
        f"POST {_PROVIDER}/services",
        form={"repo": "{empty_repository}", "ref": "main"},
    ),
    Step(
        "a descriptor without a name",
        "root",
        f"POST {_PROVIDER}/services",
        form={"repo": "{nameless_repository}", "ref": "main"},
    ),
    Step(
        "a repository that is not there",
        "root",
        f"POST {_PROVIDER}/services",
        form={"repo": "{repository}x", "ref": "main"},
    ),
    Step(
        "a branch that is not there",
        "root",
        f"POST {_PROVIDER}/services",
        form={"repo": "{repository}", "ref": "nothing"},
    ),
    Step("a service without a repository", "root", f"POST {_PROVIDER}/services"),
    Step(
        "a service of nobody",
        "root",
        "POST /api/admin/providers/nobody/services",
        form={"repo": "{repository}", "ref": "main"},
    ),
    Step("a provider's services", "root", f"GET {_PROVIDER}/services"),
    Step("a provider's services in JSON", "root", f"GET {_PROVIDER}/services?format=json"),
    Step("a user registers", "ann", f"POST {_PROVIDER}/services"),
)

CLEARING = (
    Step("all tickets", "root", "GET /api/admin/tickets"),
    Step("all tickets in JSON", "root", "GET /api/admin/tickets?format=json"),
    Step("a user looks at all tickets", "ann", "GET /api/admin/tickets"),
    Step(
        "a purge of old tickets", "root", "POST /api/admin/tickets/purge/all", form={"days": "1.5"}
    ),
    Step(
        "a purge of finished tickets",
        "root",
        "POST /api/admin/tickets/purge/completed",
        form={"hours": "2"},
    ),
    Step("a purge after seven days", "root", "POST /api/admin/tickets/purge/all"),
    Step("a purge by GET", "root", "GET /api/admin/tickets/purge/all"),
    Step("a purge of something else", "root", "POST /api/admin/tickets/purge/some"),
    Step(
        "a purge after no number", "root", "POST /api/admin/tickets/purge/all", form={"days": "x"}
    ),
    Step("a user purges", "ann", "POST /api/admin/tickets/purge/all"),
    Step("a service goes", "root", f"GET {_PROVIDER}/services/{{hash}}/delete"),
    Step("a service that is none goes", "root", f"GET {_PROVIDER}/services/abc/delete"),
    Step("no service is left", "root", "GET /api/services"),
    Step("its description stays", "ann", "GET /api/services/{hash}/detail", unordered=True),
    Step("no ticket for what has gone", "ann", "POST /api/tickets", form={"githash": "{hash}"}),
    Step(
        "the service comes back",
        "root",
        f"POST {_PROVIDER}/services",
        form={"repo": "{repository}", "ref": "main"},
    ),
    Step("the provider goes", "root", f"GET {_PROVIDER}/delete"),
    Step("a provider that is none goes", "root", "GET /api/admin/providers/nobody/delete"),
    Step("the provider by another method", "root", f"POST {_PROVIDER}/delete"),
    Step("removed providers are listed", "root", "GET /api/admin/providers"),
    Step("no service without a provider", "root", "GET /api/services"),
    Step("a user removes a provider", "ann", "GET /api/admin/providers/lab_2/delete"),
    Step("a name that no address can hold", "root", "POST /api/admin/providers", raw=b"name="),
    Step("HEAD deletes nothing", "bob", "HEAD /api/tickets/6/delete"),
    Step("a sysadmin submits a waiting ticket", "root", "POST /api/tickets/7/status?status=ready"),
    Step("and once more", "root", "POST /api/tickets/7/status?status=ready"),
    Step("a sysadmin tries a new ticket again", "root", "GET /api/tickets/8/retry"),
)
