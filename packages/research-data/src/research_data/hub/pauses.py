"""Raise an error when a hub asks for a pause, where its client would sleep, perhaps for a day."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


@dataclass
class AskedToWaitError(Exception):
    """A hub asked to wait before the next request. seconds: for how long."""

    status: int
    seconds: float


_hook_lock = threading.Lock()


@contextmanager
def pauses_raised() -> Iterator[None]:
    """Raise AskedToWaitError in this block when an answer asks for a pause.

    The client itself would sleep as long as it is asked to, even for a day.
    """
    from huggingface_hub import get_session

    session: Any
    try:
        session = get_session()
    except (OSError, ValueError, ImportError):  # of certificates or a proxy: the request fails too
        yield
        return

    with _hook_lock:
        hooks = session.event_hooks
        session.event_hooks = {**hooks, "response": [*hooks["response"], _raise_asked_to_wait]}
    try:
        yield
    finally:
        with _hook_lock:
            hooks = session.event_hooks
            left = list(hooks["response"])
            left.remove(_raise_asked_to_wait)
            session.event_hooks = {**hooks, "response": left}


def _raise_asked_to_wait(response: Any) -> None:
    if response.status_code not in (429, 503):
        return
    if (seconds := _asked_pause(response.headers)) is not None:
        raise AskedToWaitError(response.status_code, seconds)


def _asked_pause(headers: Any) -> float | None:
    """Seconds to wait by a number or date in Retry-After, or by the ratelimit header; else None."""
    said = str(headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"\d{1,12}", said):
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
        return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        pass
    limit = re.search(r"r=0\b.*?\bt=(\d{1,12})", str(headers.get("ratelimit") or ""))
    return float(limit.group(1)) if limit else None
