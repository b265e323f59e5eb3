"""The classes of the settings of all programs of a site."""

from dss_dispatch.settings import ServiceSettings
from dss_dispatch.settings import Settings as DispatchSettings
from dss_inference.settings import DeviceSettings, FacadeSettings
from dss_inference.settings import Settings as WorkerSettings
from dss_portal.settings import DatabaseSettings
from dss_portal.settings import Settings as PortalSettings

KINDS = (
    PortalSettings,
    DatabaseSettings,
    DispatchSettings,
    ServiceSettings,
    WorkerSettings,
    DeviceSettings,
    FacadeSettings,
)
COMPOSE = ("DSS_VERSION", "DSS_REGISTRY", "DSS_PUBLISH", "DSS_UID")
"""Variables of the site's Compose files."""
