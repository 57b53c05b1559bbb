"""What is said on a screen: text that can't steer a terminal, values short enough for a sentence.

Names, notes, tags and the names of metrics and files are other people's words. An escape sequence
in them would colour, move or retitle a terminal, a line end would forge a row of a table, and a
bidirectional override would turn the rest of the line around.
"""

import codecs
import json
from contextlib import suppress
from datetime import UTC, datetime

LONGEST_VALUE = 100  # characters of a value in a sentence

# What our own lines hold beyond ASCII, for a terminal or log file that has nothing else.
PLAIN = {"±": "+-", "…": "...", "→": "->", "≥": ">=", "≤": "<="}


def printable(text: str, keep: str = "") -> str:
    r"""The text with every character that isn't printed as itself written out: `\x1b`, `\n`.

    keep: characters to leave as they are, line ends say. What is printed is what `repr` prints.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _written_out(c) for c in text)


def print_line(line: str) -> None:
    """Print a line on stdout, printable."""
    print(printable(line))


def brief(value: object) -> str:
    """`repr` of a value seen in a file or on a command line, at most LONGEST_VALUE characters."""
    try:
        text = repr(value)
    except ValueError:  # an integer of so many digits that Python won't write them
        text = f"a number of {_digits(value)} digits" if isinstance(value, int) else "too large"
    except RecursionError:
        text = f"a {type(value).__name__} nested too deeply"
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[: LONGEST_VALUE - 15]}...{text[-12:]}"


def shown_number(value: object) -> str:
    """A number, or any other value, short enough for a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def shown_age(moment: str) -> str:
    """How long ago that was: "3 h ago"; a text that is no time stays as it is."""
    with suppress(ValueError):
        seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
        for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
            if seconds >= length:
                return f"{seconds // length:.0f} {unit} ago"
        return "just now"
    return moment


def shown_duration(seconds: float | None) -> str:
    """Seconds as 12.3 s or 1:02:03; None as -."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def prepare_output(*streams: object) -> None:
    """Have text streams write what their encoding lacks in other characters, and never raise.

    `PYTHONIOENCODING=ascii`, a cron job, an old console: `±` becomes `+-`, others `?`. The bytes of
    a file name that isn't UTF-8 come out as they are.
    """
    codecs.register_error(_HANDLER, _replaced)
    for stream in streams:
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors=_HANDLER)


_HANDLER = "research-shown"


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    written = b"".join(
        bytes([ord(c) - 0xDC00]) if "\udc80" <= c <= "\udcff" else PLAIN.get(c, "?").encode()
        for c in characters
    )
    return written, error.end


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _digits(number: int) -> int:
    return int(number.bit_length() * 0.30103) + 1
