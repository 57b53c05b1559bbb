"""Turn errors of the hub's client libraries into messages that say what to do.

No token, password or signed address is in any of them.
"""

import json
import logging
import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from research_data.assets.manifest import Kind
from research_data.errors import AssetError, HubError, StorageError, UsageError, is_of_the_disk
from research_data.hub.address import hub_address, redact
from research_data.hub.pauses import AskedToWaitError, pauses_raised
from research_data.hub.settings import our_calls

KEPT = "What arrived is kept: pull again, and it goes on from there."


@contextmanager
def client_errors(
    kind: Kind,
    name: str,
    revision: str | None,
    path: Path | None = None,
    hint: Callable[[], str] = lambda: "",
) -> Iterator[None]:
    """Turn what the clients raise in this block into errors of ours; quiet their own log.

    path: what is being written. hint: more about a revision that isn't there.
    """
    hub_address()
    logger = logging.getLogger("huggingface_hub")
    hide = _RedactingFilter()
    handlers = [*logger.handlers, *logging.getLogger().handlers]
    for handler in handlers:
        handler.addFilter(hide)
    try:
        with our_calls(), pauses_raised():
            yield
    except (AssetError, UsageError):
        raise
    except Exception as error:  # the client's own, and those of the HTTP library it uses by now
        error.__context__ = None  # it would carry signed addresses into a traceback
        raise _translated(error, kind, name, revision, path, hint) from None
    finally:
        for handler in handlers:
            handler.removeFilter(hide)


class _RedactingFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return record.levelno >= logging.ERROR  # what it tries again is no news to anyone


def _translated(
    error: Exception,
    kind: Kind,
    name: str,
    revision: str | None,
    path: Path | None,
    hint: Callable[[], str],
) -> Exception:
    from huggingface_hub import errors

    endpoint = redact(hub_address() or "https://huggingface.co")
    page = f"{endpoint}/{'datasets/' if kind == 'dataset' else ''}{name}"
    if isinstance(error, AskedToWaitError):
        return HubError(
            f"{endpoint} answered {error.status} for {name} and asks for a pause of "
            f"{error.seconds:.0f} s. Pull again when that is over: what arrived is kept.",
            transient=True,
            pause=error.seconds,
        )
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{name!r} is no name of a {kind}: {redact(str(error))}")
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{name} is gated: its authors want its terms accepted first. Do that at {page} while "
            "logged in, then `hf auth login` here (or set HF_TOKEN), and pull again."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"{name} has no revision {revision!r}.{hint()}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(
            f"there is no {kind} {name!r} at {endpoint}, or it is private. If it is private: "
            "`hf auth login` with an account that may read it, then pull again."
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(
            f"{name}: HF_HUB_OFFLINE is set, so nothing is asked of {endpoint}; unset it to fetch"
        )
    chain = list(_chain(error))
    for each in chain:
        if (response := getattr(each, "response", None)) is not None:
            return _answered(endpoint, name, response.status_code)
    for each in chain:
        if isinstance(each, OSError) and is_of_the_disk(each) and path is not None:
            return StorageError(path, each)
    if (wrong := _wrong_setting(chain, endpoint)) is not None:
        return HubError(f"{name}: {wrong}")
    return HubError(f"{name}: {_broken_way(chain, endpoint)}", transient=True)


def _answered(endpoint: str, name: str, status: int) -> HubError:
    reasons = {
        401: "who you are is not known there: `hf auth login`",
        403: "not allowed",
        404: "not there; is HF_ENDPOINT, or the default, the address of a hub?",
        407: "that is the proxy, which wants a name and password: put them into HTTPS_PROXY",
        429: "too many requests; try again later",
    }
    return HubError(
        f"{endpoint} answered {status} for {name}: "
        f"{reasons.get(status, 'that is its own trouble; try again later')}",
        transient=status >= 500 or status == 429,
    )


def _wrong_setting(chain: list[BaseException], endpoint: str) -> str | None:
    """What is set wrongly on this machine, in a sentence; None when nothing is seen to be."""
    texts = " ".join(map(str, chain))
    unverified = "CERTIFICATE_VERIFY_FAILED" in texts
    local = any(
        isinstance(each, ssl.SSLError | FileNotFoundError | PermissionError) for each in chain
    )
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        place = os.environ.get(variable)
        if place and (local or unverified):
            if not Path(place).exists():
                return f"{variable} names {place}, which isn't there: correct it or unset it"
            if not unverified:
                return f"{variable} names {place}, and no certificates can be read from there"
    if unverified:
        other = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
        also = f" ({other[0]}, which is set, is not read for this)" if other else ""
        return (
            f"the certificate of {endpoint} is signed by nobody this machine knows. Where a "
            "network puts its own in between, name its certificate file in SSL_CERT_FILE" + also
        )
    proxy = _proxy(endpoint)
    if proxy and any(
        isinstance(each, ImportError) or (isinstance(each, ValueError) and "proxy" in str(each))
        for each in chain
    ):
        return (
            f"the proxy {proxy} can't be used ({redact(str(chain[0]).splitlines()[0])}): correct "
            "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY, or unset it"
        )
    return None


def _broken_way(chain: list[BaseException], endpoint: str) -> str:
    """What is wrong between here and a hub, and what to do."""
    proxy = _proxy(endpoint)
    through = f" through the proxy {proxy}" if proxy else ""
    names = {type(each).__name__ for each in chain}
    what = redact(f"{type(chain[0]).__name__}: {chain[0]}".splitlines()[0])
    if any(isinstance(each, socket.gaierror) for each in chain) or "Name or service" in what:
        host = urlsplit(proxy or endpoint).hostname
        return (
            f"the name {host} has no address here ({what}): is there a network, and is the name "
            f"right? It is from {'the proxy settings' if proxy else 'HF_ENDPOINT, or the default'}."
        )
    if any("Timeout" in each for each in names):
        return f"{endpoint} didn't answer in time{through} ({what}). {KEPT}"
    if "ProxyError" in names or (proxy and "ConnectError" in names):
        return (
            f"{endpoint} can't be reached{through} ({what}): is that proxy right (HTTPS_PROXY, "
            "HTTP_PROXY, ALL_PROXY), and is it up?"
        )
    if any(isinstance(each, json.JSONDecodeError) for each in chain):
        return (
            f"{endpoint} broke off its answer, or gave one that is no hub's{through} ({what}): a "
            f"log-in page of this network? If not: {KEPT}"
        )
    if "ConnectError" in names:
        return f"{endpoint} can't be reached{through} ({what}): is it up, and is its address right?"
    return f"{endpoint} can't be reached, or broke off{through} ({what}). {KEPT}"


def _proxy(endpoint: str) -> str | None:
    """The proxy that the environment sets for an address, without its password."""
    parts = urlsplit(endpoint)
    proxies = urllib.request.getproxies()
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    found = proxies.get(parts.scheme) or proxies.get("all")
    return redact(found) if found else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
