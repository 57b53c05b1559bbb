"""The hub's address, and text without the secrets that addresses carry."""

import os
import re
from urllib.parse import urlsplit

from research_data.errors import UsageError


def redact(text: str) -> str:
    """Text without tokens, passwords in addresses, and the queries that sign an address."""
    text = re.sub(r"(\w://)[^/\s@'\"]*@", r"\1", text)
    text = re.sub(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]+", r"\1", text)
    text = re.sub(r"[^\s(]*=[^\s)]*&[^\s)]*", "***", text)  # the end of a query that was cut off
    text = re.sub(r"(?i)\b(bearer|basic|authorization:)(\s+(bearer|basic))?\s+\S+", r"\1 ***", text)
    return re.sub(r"hf_[A-Za-z0-9]{8,}", "hf_***", text)


def hub_address() -> str | None:
    """The address in HF_ENDPOINT; None if unset. Raises UsageError when it isn't an address."""
    said = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    if not said:
        return None
    try:
        parts = urlsplit(said)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port above 65535, brackets that don't close
        right = False
    if not right:
        raise UsageError(
            f"HF_ENDPOINT is {redact(said)!r}, which is not the address of a hub: write it as "
            "https://HOST or https://HOST:PORT, or unset it"
        )
    return said
