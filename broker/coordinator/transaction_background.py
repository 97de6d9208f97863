"""How work of the transaction coordinator that no request waits for is told of when it is done."""

from __future__ import annotations

import logging

from broker.deferred import Deferred
from kwire.errors import ApiError

log = logging.getLogger(__name__)


def log_abort(transactional_id: str, done: Deferred[None]) -> None:
    try:
        done.result()
    except ApiError as error:
        log.info("%s: its transaction has timed out and could not be aborted yet: %s", transactional_id, error)
    except Exception:
        log.exception("%s: its transaction has timed out and could not be aborted", transactional_id)
    else:
        log.info("%s: its transaction has timed out and is aborted", transactional_id)


def log_upkeep(done: Deferred[None]) -> None:
    try:
        done.result()
    except Exception:
        log.exception("what is overdue could not all be dealt with")
