"""Decides which provider owns the name of a service.

A name, with all its versions, belongs to the provider that offers a service of that name, until it offers none any
more.  Tickets are submitted by name: a provider that registered a higher version under another provider's name would
get that provider's tickets, with their images.
"""

from dss_portal.models import Provider, ProviderService
from dss_portal.refusals import Refused
from dss_portal.tickets import queue


async def reserve(name: str, provider: Provider) -> None:
    """Lock the service name for the provider until the caller's transaction ends, so that no other provider can
    register it meanwhile.  Raises Refused if the name belongs to another provider, or if the provider was removed.
    """
    if not provider.current:
        raise Refused(f"Provider {provider.name} was removed; add it again first.")
    await queue.serialise([name])
    offers = ProviderService.filter(service__name=name, current=True, provider__current=True)
    owners = {str(owner) for owner in await offers.values_list("provider__name", flat=True)}
    if owners and provider.name not in owners:
        raise Refused(
            f"The service name '{name}' belongs to provider {min(owners)}; choose another name, "
            "or remove that provider's service first."
        )
