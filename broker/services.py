"""What handlers may be given. The route table names, for each API, which of these its handler uses."""

from __future__ import annotations

from attrs import define

from broker.addresses import AddressBook
from broker.clock import Clock
from broker.config.admin import ConfigAdmin
from broker.controller.controller import Controller
from broker.coordinator.coordinator import GroupCoordinator
from broker.coordinator.transactions import TransactionCoordinator
from broker.fetch.sessions import FetchSessions
from broker.handlers.cluster.api_versions import AdvertisedVersions
from broker.log_dirs import LogDirs
from broker.nodes.hints import LeaderHints
from broker.partitions import Partitions
from broker.producer_ids import ProducerIds
from broker.telemetry import Telemetry
from broker.transaction_markers import TransactionMarkers
from broker.transaction_verification import TransactionVerifier


@define(slots=True)
class Services:
    """The services of one node of one cluster. unstable_versions: `unstable.api.versions.enable`."""

    clock: Clock
    controller: Controller
    partitions: Partitions
    log_dirs: LogDirs
    fetch_sessions: FetchSessions
    producer_ids: ProducerIds
    groups: GroupCoordinator
    transactions: TransactionCoordinator
    configs: ConfigAdmin
    addresses: AddressBook
    versions: AdvertisedVersions
    telemetry: Telemetry
    unstable_versions: bool
    verifier: TransactionVerifier
    markers: TransactionMarkers
    hints: LeaderHints
