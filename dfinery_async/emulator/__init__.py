"""A local emulator of the DFINERY API, for development and tests.

It shares no code with the client, so that one misreading of the API is not mirrored by the other. Needs the extra
`dfinery-async[emulator]` when an `Emulator` starts; importing this package is cheap.
"""

from dfinery_async.emulator.faults import Fault, FaultHandle
from dfinery_async.emulator.limits import Quota, parse_quota
from dfinery_async.emulator.profiles import Profile
from dfinery_async.emulator.records import RequestRecord
from dfinery_async.emulator.server import Emulator
from dfinery_async.emulator.settings import Settings
from dfinery_async.emulator.validate import Problem

__all__ = [
    "Emulator",
    "Fault",
    "FaultHandle",
    "Problem",
    "Profile",
    "Quota",
    "RequestRecord",
    "Settings",
    "parse_quota",
]
