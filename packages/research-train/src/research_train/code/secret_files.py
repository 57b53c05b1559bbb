"""Recognise files with passwords, tokens or private keys, which must not travel with a run.

They are recognised by name and by content. Callers spare files that git tracks, since these are
published with their repository anyway.
"""

import re
from fnmatch import fnmatchcase

NAMES = (
    *(".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".pypirc", ".npmrc", ".htpasswd"),
    *(".git-credentials", "credentials", "credentials.*", ".credentials*", "*credentials.json"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"),
    *("token", "token.txt", "token.json", ".token", "*.token", "*_token", "*_token.txt"),
    *("secret", "secret.*", "secrets", "secrets.*", ".secrets*", "service[-_]account*.json"),
    *("api_key*", "apikey*", "kubeconfig", "wandb_key*", "kaggle.json"),
)
HARMLESS = ("*.example", "*.sample", "*.template", "*.dist", "*.pub", "*.py", "*.pyi", "*.md")

_PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END|\Z)", re.S
)
# Tokens of hubs, clouds and services begin with these. Searching for the prefix first is quick.
_PREFIXES = {
    b"hf_": rb"hf_[A-Za-z0-9]{20,}",
    b"sk-": rb"sk-(?:(?:proj|ant|svcacct|or)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{20,})",
    b"AKIA": rb"AKIA[0-9A-Z]{16}",
    b"ASIA": rb"ASIA[0-9A-Z]{16}",
    b"gho_": rb"gho_[A-Za-z0-9]{30,}",
    b"ghp_": rb"ghp_[A-Za-z0-9]{30,}",
    b"ghs_": rb"ghs_[A-Za-z0-9]{30,}",
    b"ghu_": rb"ghu_[A-Za-z0-9]{30,}",
    b"github_pat_": rb"github_pat_[A-Za-z0-9_]{22,}",
    b"glpat-": rb"glpat-[A-Za-z0-9_-]{20,}",
    b"xoxb-": rb"xoxb-[A-Za-z0-9-]{20,}",
    b"xoxp-": rb"xoxp-[A-Za-z0-9-]{20,}",
    b"AIza": rb"AIza[0-9A-Za-z_-]{35}",
    b"pypi-AgE": rb"pypi-AgE[A-Za-z0-9_-]{30,}",
}
_TOKENS = {
    prefix: re.compile(rb"(?<![A-Za-z0-9_])" + pattern) for prefix, pattern in _PREFIXES.items()
}


def is_secret_name(name: str) -> bool:
    """Whether files of this name usually hold secrets."""
    last = name.rpartition("/")[2].lower()
    if any(fnmatchcase(last, pattern) for pattern in HARMLESS):
        return False
    return any(fnmatchcase(last, pattern) for pattern in NAMES)


def holds_secret(content: bytes) -> bool:
    """Whether the content has a private key or the token of a service in it."""
    return without_secrets(content) != content


def without_secrets(content: bytes) -> bytes:
    """The content with stars in place of keys and tokens: of the same length, and valid Python."""
    for prefix, pattern in _TOKENS.items():
        if prefix in content:
            content = pattern.sub(lambda match: b"*" * len(match[0]), content)
    if b"PRIVATE KEY" in content:
        content = _PRIVATE_KEY.sub(
            lambda match: re.sub(rb"[A-Za-z0-9+/=]{16,}", lambda m: b"*" * len(m[0]), match[0]),
            content,
        )
    return content
