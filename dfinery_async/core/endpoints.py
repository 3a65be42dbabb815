"""The API's six calls as data (API guide, "Import API" and "Export API")."""

from __future__ import annotations

from typing import Literal

import msgspec

from dfinery_async.config import Family

__all__ = [
    "DELETE_IDENTITY",
    "EVENTS",
    "EXPORT_EVENTS",
    "EXPORT_PROFILES",
    "IDENTITIES",
    "PROFILES",
    "Endpoint",
]


class Endpoint(msgspec.Struct, frozen=True):
    """One call: where it goes, whose quota it uses, which token it takes."""

    path: str
    family: Family
    access: Literal["import", "export"]


EVENTS = Endpoint("/api/v1/events", "events", "import")
IDENTITIES = Endpoint("/api/v1/identities", "identities", "import")
DELETE_IDENTITY = Endpoint("/api/v1/identities/delete", "identities", "import")
PROFILES = Endpoint("/api/v1/user-profile", "profiles", "import")
EXPORT_EVENTS = Endpoint("/api/v1/export/event", "exports", "export")
EXPORT_PROFILES = Endpoint("/api/v1/export/userprofile", "exports", "export")
