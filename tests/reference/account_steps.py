"""Sections 1 and 2 of the contract: signing in, tokens, terms of use, and rules for every request."""

from reference.conversation import Step

SIGNING_IN = (
    Step("a stranger asks who he is", "nobody", "GET /api/login"),
    Step("a stranger asks for a token", "nobody", "GET /api/token"),
    Step("a token is wrong", "nobody", "POST /api/login", form={"token": "0" * 48}),
    Step("a token is empty", "nobody", "POST /api/login", raw=b"token="),
    Step("no token is sent", "nobody", "POST /api/login"),
    Step("Ann signs in", "ann", "POST /api/login", form={"token": "{ann_token}"}),
    Step("the token was used", "nobody", "POST /api/login", form={"token": "{ann_token}"}),
    Step(
        "Bob signs in from the window",
        "bob",
        "POST /api/login?format=json",
        form={"token": "{bob_token}"},
    ),
    Step("Pat signs in by the query", "pat", "POST /api/login?token={pat_token}"),
    Step(
        "root signs in, and the body wins over the query",
        "root",
        "POST /api/login?token=0",
        form={"token": "{root_token}", "format": "json"},
    ),
    Step("Ann asks who she is", "ann", "GET /api/login"),
    Step("Ann asks who she is in JSON", "ann", "GET /api/login?format=json"),
    Step("the last of two formats counts", "ann", "GET /api/login?format=json&format=csv"),
    Step("a token before the terms", "ann", "GET /api/token"),
    Step("Bob refuses the terms", "bob", "POST /acceptterms"),
    Step("a token after a refusal", "bob", "GET /api/token"),
    Step("Ann accepts the terms", "ann", "POST /acceptterms", form={"cb": "on"}),
    Step("a token after the terms", "ann", "GET /api/token", keep="second_token"),
    Step("the second token signs in", "eve", "POST /api/login", form={"token": "{second_token}"}),
    Step("no code comes back from the issuer", "nobody", "GET /api/oauth2cb"),
)

RULES = (
    Step("an address that does not exist", "nobody", "GET /api/nothing"),
    Step("a slash at the end", "ann", "GET /api/services/"),
    Step("a doubled slash", "ann", "GET //api/login"),
    Step("PUT on a list", "ann", "PUT /api/services"),
    Step("DELETE on a ticket list", "ann", "DELETE /api/tickets"),
    Step("PATCH on a login", "ann", "PATCH /api/login"),
    Step("OPTIONS on a login", "ann", "OPTIONS /api/login"),
    Step("HEAD on a list", "ann", "HEAD /api/services"),
    Step("POST where one can only GET", "ann", "POST /api/services"),
    Step("a hash in capitals", "ann", "GET /api/services/ABCDEF/detail"),
    Step(
        "a form that is no UTF-8",
        "ann",
        "POST /api/tickets",
        raw=b"name=\xff\xfe",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    Step(
        "a multipart form without a boundary",
        "ann",
        "POST /api/tickets",
        raw=b"name=x",
        headers={"Content-Type": "multipart/form-data"},
    ),
    Step(
        "a body in JSON",
        "ann",
        "POST /api/tickets",
        raw=b'{"name": "lung-segmentation"}',
        headers={"Content-Type": "application/json"},
    ),
)

LEAVING = (
    Step("a wrong token ends a session", "eve", "POST /api/login", form={"token": "wrong"}),
    Step("the session is over", "eve", "GET /api/login"),
    Step("Ann leaves", "ann", "GET /logout"),
    Step("Ann has left", "ann", "GET /api/login"),
    Step("a stranger leaves", "nobody", "GET /logout"),
)
