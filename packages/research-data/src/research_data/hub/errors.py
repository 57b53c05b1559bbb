"""Turn errors of the hub's client libraries into messages that say what to do.

None of the messages contains a token, password or signed address.
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

KEPT = "What arrived is kept: pull again to continue from there."


@contextmanager
def client_errors(
    kind: Kind,
    name: str,
    revision: str | None,
    path: Path | None = None,
    hint: Callable[[], str] = lambda: "",
) -> Iterator[None]:
    """Turn the clients' exceptions in this block into our errors, and silence their log.

    path: the file being written. hint: makes a sentence to add when the revision doesn't exist.
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
    except Exception as error:  # of the client, or of its HTTP library, which differs by version
        error.__context__ = None  # it would show signed addresses in a traceback
        raise _translated(error, kind, name, revision, path, hint) from None
    finally:
        for handler in handlers:
            handler.removeFilter(hide)


class _RedactingFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        return record.levelno >= logging.ERROR  # the client's retries need not be reported


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
            f"{error.seconds:.0f} s. Pull again after that; what arrived is kept.",
            transient=True,
            pause=error.seconds,
        )
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{name!r} is not the name of a {kind}: {redact(str(error))}")
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{name} is gated: its terms must be accepted first. Log in and accept them at {page}, "
            "then run `hf auth login` here (or set HF_TOKEN), and pull again."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(f"{name} has no revision {revision!r}.{hint()}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UsageError(
            f"there is no {kind} {name!r} at {endpoint}, or it is private. If it is private, run "
            "`hf auth login` with an account that may read it, then pull again."
        )
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(
            f"{name}: HF_HUB_OFFLINE is set, so no request is made to {endpoint}; unset it to fetch"
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
        401: "you are not logged in, or your token is not valid: run `hf auth login`",
        403: "access is not allowed",
        404: "not found; is HF_ENDPOINT (or the default) the address of a hub?",
        407: "the answer is from the proxy, which needs a user name and password: put them into "
        "HTTPS_PROXY",
        429: "too many requests; try again later",
    }
    return HubError(
        f"{endpoint} answered {status} for {name}: "
        f"{reasons.get(status, 'the hub has a problem; try again later')}",
        transient=status >= 500 or status == 429,
    )


def _wrong_setting(chain: list[BaseException], endpoint: str) -> str | None:
    """A sentence on a wrong setting of this machine; None when none is found."""
    texts = " ".join(map(str, chain))
    unverified = "CERTIFICATE_VERIFY_FAILED" in texts
    local = any(
        isinstance(each, ssl.SSLError | FileNotFoundError | PermissionError) for each in chain
    )
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        place = os.environ.get(variable)
        if place and (local or unverified):
            if not Path(place).exists():
                return f"{variable} is {place}, which doesn't exist: correct it or unset it"
            if not unverified:
                return f"{variable} is {place}, from which no certificates can be read"
    if unverified:
        other = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
        also = f" ({other[0]}, which is set, is not used here)" if other else ""
        return (
            f"the certificate of {endpoint} is not signed by an authority that this machine "
            "trusts. If your network replaces certificates by its own, set SSL_CERT_FILE to the "
            "network's certificate file" + also
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
    """A sentence on the failed connection to a hub, and what to do."""
    proxy = _proxy(endpoint)
    through = f" through the proxy {proxy}" if proxy else ""
    names = {type(each).__name__ for each in chain}
    what = redact(f"{type(chain[0]).__name__}: {chain[0]}".splitlines()[0])
    if any(isinstance(each, socket.gaierror) for each in chain) or "Name or service" in what:
        host = urlsplit(proxy or endpoint).hostname
        return (
            f"the name {host} could not be resolved ({what}): is there a network, and is the name "
            "right? It is that of "
            f"{'the proxy settings' if proxy else 'HF_ENDPOINT, or the default hub'}."
        )
    if any("Timeout" in each for each in names):
        return f"{endpoint} didn't answer in time{through} ({what}). {KEPT}"
    if "ProxyError" in names or (proxy and "ConnectError" in names):
        return (
            f"{endpoint} can't be reached{through} ({what}): is the proxy's address right "
            "(HTTPS_PROXY, HTTP_PROXY, ALL_PROXY), and is the proxy running?"
        )
    if any(isinstance(each, json.JSONDecodeError) for each in chain):
        return (
            f"the answer of {endpoint} was cut off or is not that of a hub{through} ({what}). Does "
            f"your network show a login page? If not: {KEPT}"
        )
    if "ConnectError" in names:
        return (
            f"{endpoint} can't be reached{through} ({what}): is it running, and is its address "
            "right?"
        )
    return f"{endpoint} can't be reached, or broke the connection{through} ({what}). {KEPT}"


def _proxy(endpoint: str) -> str | None:
    """The proxy that the environment sets for an address, without its password."""
    parts = urlsplit(endpoint)
    proxies = urllib.request.getproxies()
    if not parts.hostname or urllib.request.proxy_bypass(parts.hostname):
        return None
    found = proxies.get(parts.scheme) or proxies.get("all")
    return redact(found) if found else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and the errors that caused it."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
