"""The admin's page of services, ``/adminservices``: lists the services of each provider, and registers and removes
services.
"""

from quart import Blueprint, Response, request

from dss_portal.admin import overview, store
from dss_portal.pages import addresses, forms
from dss_portal.pages.numbers import NUMBER
from dss_portal.pages.rendering import confirmation, page, problem_of, see_other
from dss_portal.refusals import Refused
from dss_portal.services import registration
from dss_portal.web.context import components

blueprint = Blueprint("services", __name__, url_prefix=addresses.ADMIN_SERVICES)


@blueprint.get("")
async def show(problem: str = "", at: str = "") -> Response:
    """The page.  If a registration was refused, ``problem`` is the reason, a sentence, which is shown at the form
    ``at``: ``git`` or ``upload``.
    """
    return await page(
        "admin_services.html",
        status=400 if problem else 200,
        offers=await overview.offers(),
        problems={at: problem},
    )


@blueprint.post("/git")
async def register_from_git() -> Response:
    if problem := await problem_of(_from_git(await forms.submitted())):
        return await show(problem, at="git")
    return await see_other(addresses.ADMIN_SERVICES, "The service was registered.")


@blueprint.post("/upload")
async def register_upload() -> Response:
    if problem := await problem_of(_from_upload(await forms.submitted())):
        return await show(problem, at="upload")
    return await see_other(addresses.ADMIN_SERVICES, "The service was registered.")


@blueprint.route(
    f"/<{NUMBER}:number>/<regex('[a-f0-9]{{40}}'):githash>/remove", methods=["GET", "POST"]
)
async def remove(number: int, githash: str) -> Response:
    provider, name = await _offer(number, githash)
    if request.method == "POST":
        await store.remove_service(provider, githash)
        return await see_other(
            addresses.ADMIN_SERVICES, f"{provider} does not offer {name} any more."
        )
    return await confirmation(
        question=f"Remove {name} from provider {provider}?",
        consequence="If nobody else offers the service, it takes no more tickets. "
        "It can be registered again.",
        verb="Remove the service",
        back=addresses.ADMIN_SERVICES,
    )


async def _from_git(form: forms.Form) -> None:
    owner = await store.provider_named(form.text("provider"))
    repository, reference = form.text("repo"), form.text("ref")
    await registration.from_git(owner, repository, reference, components().settings)


async def _from_upload(form: forms.Form) -> None:
    owner = await store.provider_named(form.text("provider"))
    if not form.file:
        raise Refused("Choose a service.json, a .zip or a .tar.gz first.")
    await registration.from_upload(owner, form.file_name, form.file)


async def _offer(number: int, githash: str) -> tuple[str, str]:
    """The name of the provider with that number, and the name and version of the service with the hash ``githash``.
    Raises Refused (404) if the provider does not offer the service.
    """
    for provider, services in await overview.offers():
        for service in services:
            if provider.id == number and service.githash == githash:
                return provider.name, f"{service.name} {service.version}"
    raise Refused("This provider does not offer this service.", 404)
