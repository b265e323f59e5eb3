"""``/admin/providers/N``: the admin's page of one provider: lists its users and services, adds and removes users, and
removes the provider.
"""

from quart import Blueprint, Response, request

from dss_portal.admin import overview, store
from dss_portal.models import Provider
from dss_portal.pages import addresses, forms
from dss_portal.pages.numbers import NUMBER
from dss_portal.pages.rendering import confirmation, page, problem_of, see_other
from dss_portal.refusals import Refused

blueprint = Blueprint(
    "providers", __name__, url_prefix=f"{addresses.ADMIN_PROVIDERS}/<{NUMBER}:number>"
)


@blueprint.get("")
async def show(number: int, problem: str = "") -> Response:
    provider = await _provider(number)
    offered = {owner.id: services for owner, services in await overview.offers()}
    return await page(
        "admin_provider.html",
        status=400 if problem else 200,
        provider=provider,
        members=await store.provider_users(provider.name),
        services=offered.get(provider.id, []),
        problem=problem,
    )


@blueprint.route("/remove", methods=["GET", "POST"])
async def remove(number: int) -> Response:
    provider = await _provider(number)
    if request.method == "POST":
        await store.remove_provider(provider.name)
        return await see_other(addresses.ADMIN, f"Provider {provider.name} was removed.")
    return await confirmation(
        question=f"Remove provider {provider.name}?",
        consequence="It takes no more tickets, and services that only it offers are removed too. "
        "It can be added again, without its services.",
        verb="Remove the provider",
        back=addresses.provider(number),
    )


@blueprint.post("/users")
async def add_user(number: int) -> Response:
    provider, form = await _provider(number), await forms.submitted()
    email, admin = form.text("email"), form.text("admin") == "on"
    if problem := await problem_of(store.add_provider_user(provider.name, email, admin=admin)):
        return await show(number, f"{problem}: {email}")
    return await see_other(addresses.provider(number), f"{email} may claim for {provider.name}.")


@blueprint.route(f"/users/<{NUMBER}:user_id>/remove", methods=["GET", "POST"])
async def remove_user(number: int, user_id: int) -> Response:
    provider = await _provider(number)
    email = await _member(provider, user_id)
    if request.method == "POST":
        await store.remove_provider_user(provider.name, user_id)
        done = f"{email} may not claim for {provider.name} any more."
        return await see_other(addresses.provider(number), done)
    return await confirmation(
        question=f"Remove {email} from provider {provider.name}?",
        consequence="The user can claim no more tickets for this provider.",
        verb="Remove the user",
        back=addresses.provider(number),
    )


async def _provider(number: int) -> Provider:
    """The provider with that number.  Raises Refused (404) if there is none."""
    found = await Provider.get_or_none(id=number)
    if found is None:
        raise Refused(f"There is no provider {number}.", 404)
    return found


async def _member(provider: Provider, user_id: int) -> str:
    """The e-mail address of a user of the provider.  Raises Refused (404) if the user does not belong to it."""
    for number, email, _ in await store.provider_users(provider.name):
        if number == user_id:
            return email
    raise Refused(f"User {user_id} does not belong to provider {provider.name}.", 404)
