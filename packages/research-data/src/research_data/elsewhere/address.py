"""What an address may look like: never with credentials, so that none gets into a log."""

import re
from pathlib import Path

from research_data.errors import UsageError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.S)


def checked_address(text: str) -> str:
    """An address as it may be opened and shown; a path of this disk becomes `file://`.

    Raises UsageError, whose message doesn't repeat them, for one that holds credentials; and for
    anything else that is no address.
    """
    found = _SCHEME.fullmatch(text)
    if found is None:
        if text.startswith(("/", "./", "../", "~")) or text in (".", ".."):
            return f"file://{Path(text).expanduser().absolute()}"
        raise UsageError(
            f"{text[:80]!r} is not an address: write `s3://bucket/folder`, `file:///mnt/share`, or "
            "a path that begins with / or ./"
        )
    scheme, rest = found.group(1).lower(), found.group(2)
    place = rest.partition("/")[0]
    who, at, host = place.rpartition("@")
    if (at and ":" in who) or (scheme in ("s3", "gs", "az", "abfs") and at and scheme != "abfs"):
        raise UsageError(
            f"the address {scheme}://...@{host}/... holds credentials, which would get into logs "
            "and the shell's history. Leave them out: they are read from the environment or the "
            "store's own config files."
        )
    if re.search(r"[?#]|::", rest):
        raise UsageError(
            f"the address {scheme}://{host}/... holds ?, # or ::, which may carry credentials or "
            "lead elsewhere. Write it without."
        )
    if not rest.strip("/"):
        raise UsageError(f"{scheme}:// names no bucket or folder: write `{scheme}://NAME/folder`")
    if ".." in rest.split("/"):
        raise UsageError(f"the address {scheme}://{rest} holds `..`: write it without")
    return f"{scheme}://{rest.rstrip('/')}"
