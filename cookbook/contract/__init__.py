"""The harness: start a service, hold it to its contract."""

from cookbook.contract.doors import breakable
from cookbook.contract.examples import Played, play
from cookbook.contract.figures import figure
from cookbook.contract.proxies import SharedCache, shared_cache
from cookbook.contract.servers import StartError, Subject
from cookbook.contract.service import Service, start
from cookbook.contract.waiting import until

__all__ = [
    "Played",
    "Service",
    "SharedCache",
    "StartError",
    "Subject",
    "breakable",
    "figure",
    "play",
    "shared_cache",
    "start",
    "until",
]
