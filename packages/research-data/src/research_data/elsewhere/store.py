"""A folder at an address, through fsspec: list, read, write; each failure ends in one sentence.

fsspec and the library of a protocol are imported when an address is opened.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from research_data.assets.verify import OnBytes
from research_data.elsewhere.address import checked_address
from research_data.errors import ResearchError, StoreError, UsageError

CHUNK = 8 << 20  # bytes asked for at once
AT_ONCE = 8  # files, where the library serves several: most of a small file's time is waiting
# Stores in which a file appears when all of it has arrived, so that it needs no temporary name.
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"}
EXTRAS = {"s3": "s3", "s3a": "s3"}
_SECRET = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL", re.I)
_UNREACHABLE = re.compile(r"Connect|Timeout|gaierror|Unreachable|DNS", re.I)


@dataclass(frozen=True)
class Store:
    """A folder at an address. address: as it may be shown. root: its path, as `files` has it.

    files: the file system of fsspec. Every method raises StoreError.
    """

    address: str
    root: str
    files: Any

    @property
    def at_once(self) -> int:
        """How many files may be sent or fetched at once."""
        return AT_ONCE if self.files.async_impl else 1

    def below(self, name: str) -> "Store":
        """A folder of this one."""
        return replace(self, address=f"{self.address}/{name}", root=self._path(name))

    def sizes(self) -> dict[str, int]:
        """Every file below this folder with its bytes; none if the folder doesn't exist."""
        with self._errors("be listed"):
            try:
                found = self.files.find(self.root, detail=True)
            except FileNotFoundError:
                return {}
        start = len(self.root.strip("/")) + 1
        return {
            path.strip("/")[start:]: int(info["size"] or 0)
            for path, info in found.items()
            if len(path.strip("/")) > start
        }

    def folders(self) -> list[str]:
        """The names of the folders in this one, sorted. Raises StoreError if it isn't there."""
        with self._errors("be listed"):
            found = self.files.ls(self.root, detail=True)
        return sorted(
            each["name"].rstrip("/").rpartition("/")[2]
            for each in found
            if each["type"] == "directory"
        )

    def read(self, name: str, most: int) -> bytes | None:
        """The content of a small file; None if it isn't there. most: bytes that it may have."""
        with self._errors(f"be read: {name}"):
            try:
                content: bytes = self.files.cat_file(self._path(name), end=most + 1)
            except (FileNotFoundError, IsADirectoryError):
                return None
        if len(content) > most:
            raise StoreError(f"{self.address}/{name} has more than {most} bytes")
        return content

    def chunks(self, name: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of a file from `start` on."""
        with self._errors(f"be read: {name}"):
            opened = self.files.open(self._path(name), "rb", block_size=CHUNK)
        with opened:
            with self._errors(f"be read: {name}"):
                if start:
                    opened.seek(start)
            while True:
                with self._errors(f"be read: {name}"):
                    chunk = opened.read(CHUNK)
                if not chunk:
                    return
                yield chunk

    def sha256(self, name: str, on_bytes: OnBytes = lambda count: None) -> str:
        """The sha256 of the bytes that the store gives back for a file."""
        digest = hashlib.sha256()
        for chunk in self.chunks(name):
            digest.update(chunk)
            on_bytes(len(chunk))
        return digest.hexdigest()

    def put(self, name: str, file: Path, token: str, on_bytes: OnBytes) -> None:
        """Send a file; it appears under its name when all of it has arrived.

        token: part of the temporary name, where there is one.
        """
        from fsspec.callbacks import Callback

        told = 0

        def tell(size: int | None = None, value: int = 0, **_: object) -> None:
            nonlocal told
            change, told = value - told, value
            on_bytes(change)

        counted = Callback(hooks={"counted": tell})
        self._appear(
            name, token, lambda path: self.files.put_file(str(file), path, callback=counted)
        )
        tell(value=file.stat().st_size)  # a library need not count

    def write(self, name: str, content: bytes) -> None:
        """Write a small file, which appears as a whole."""
        token = hashlib.sha256(content).hexdigest()[:12]
        self._appear(name, token, lambda path: self.files.pipe_file(path, content))

    def remove(self, name: str) -> None:
        """Remove a file."""
        with self._errors(f"remove {name}"):
            self.files.rm_file(self._path(name))

    def _appear(self, name: str, token: str, send: Callable[[str], object]) -> None:
        path = self._path(name)
        with self._errors(f"be written: {name}"):
            if OBJECT_STORES.intersection(_protocols(self.files)):
                send(path)
                return
            self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
            beside = f"{path}.{token}.partial"
            send(beside)
            self.files.mv(beside, path)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Whatever the library of a protocol raises, as a sentence about this address."""
        try:
            yield
        except ResearchError:
            raise
        except Exception as error:  # each library has its own, and few are documented
            raise StoreError(f"{self.address} can't {what}. {_reason(error)}") from error


def open_store(address: str) -> Store:
    """The folder at an address, which need not exist; nothing is sent or asked yet.

    Raises UsageError for an address that can't be one or whose protocol is unknown, StoreError if
    the protocol's library is missing or refuses.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    shown = checked_address(address)
    protocol = shown.partition("://")[0]
    try:
        files, root = url_to_fs(shown, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        needs = (
            f"`uv sync --all-packages --extra {EXTRAS[protocol]}`, or "
            f"`pip install 'research-data[{EXTRAS[protocol]}]'`, installs it"
            if protocol in EXTRAS
            else known_implementations.get(protocol, {}).get("err", "install it")
        )
        raise StoreError(f"{shown}: the library for {protocol}:// is missing. {needs}") from error
    except ValueError as error:
        if protocol in known_implementations:
            raise StoreError(f"{shown} can't be opened. {_reason(error)}") from error
        raise UsageError(
            f"{shown}: fsspec knows no protocol {protocol}://. Some that it knows: file, s3, gs, "
            "az, sftp, smb, https"
        ) from error
    except Exception as error:
        raise StoreError(f"{shown} can't be opened. {_reason(error)}") from error
    return Store(shown, root.rstrip("/"), files)


def _protocols(files: Any) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _reason(error: Exception) -> str:
    """Why a store failed and what to do, without credentials."""
    kind = type(error).__name__
    if "Credential" in kind or "Auth" in kind:
        return (
            "No credentials were found, or they are incomplete: put them where the store's own "
            "tools read them, for S3 in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or in "
            "~/.aws/credentials."
        )
    said = _without_secrets(str(error).strip().partition("\n")[0])[:200].rstrip(". ")
    if isinstance(error, PermissionError):
        return (
            f"Permission was refused ({said}): check the credentials, and that they may do this "
            "there."
        )
    if isinstance(error, FileNotFoundError):
        return f"It isn't there ({said}): check the names of bucket and folder."
    if _UNREACHABLE.search(kind) or isinstance(error, ConnectionError | TimeoutError):
        return (
            f"It can't be reached ({said}): check the address, the network, and for another S3 "
            "than Amazon's AWS_ENDPOINT_URL."
        )
    return f"It says {kind}: {said}."


def _without_secrets(text: str) -> str:
    """A message without the values of variables that look like credentials."""
    for name, value in os.environ.items():
        if len(value) >= 8 and _SECRET.search(name):
            text = text.replace(value, "***")
    return re.sub(r"//[^/@\s]+@", "//***@", text)
