"""Make text safe and short enough to print: no terminal control codes, no endless values.

Names, notes, tags and the names of metrics and files may contain any text. An escape sequence in
them could colour, move or retitle a terminal, a line end could forge a row of a table, and a
bidirectional override could reverse the rest of the line.
"""

import codecs
import difflib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

UNITS = ("B", "kB", "MB", "GB", "TB")
LONGEST_VALUE = 100  # characters of a value in a sentence

# ASCII replacements of the other characters in our lines, for a terminal or log that needs them.
PLAIN = {"±": "+-", "…": "...", "→": "->", "≥": ">=", "≤": "<=", "—": "-"}


def printable(text: str, keep: str = "") -> str:
    r"""The text with every unprintable character replaced by its escape: `\x1b`, `\n`.

    keep: characters to leave as they are, such as line ends. Printable is what `repr` prints.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _written_out(c) for c in text)


def print_line(line: str) -> None:
    """Print a line on stdout, with unprintable characters escaped."""
    print(printable(line))


def say(line: str) -> None:
    """Print a line on stderr, unprintable characters escaped; a closed pipe is not an error."""
    with suppress(BrokenPipeError):
        print(printable(line), file=sys.stderr, flush=True)


def shown_size(count: float) -> str:
    """A number of bytes in a readable unit: 1536000 -> `1.5 MB`."""
    units = list(UNITS)
    while abs(count) >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    unit = units[0]
    return f"{count:.0f} {unit}" if unit == "B" or abs(count) >= 100 else f"{count:.1f} {unit}"


def shown_metric(value: float | None) -> str:
    """A metric to four decimals, or to four digits when it is very small or very large."""
    if value is None:
        return "none: it was no finite number"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e9 else f"{value:.4g}"


def table_lines(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: bool = False
) -> Iterator[str]:
    """A table as lines of printable text, each column as wide as its longest cell.

    right: align all columns but the first to the right, for numbers.
    """
    lines = [[printable(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for row in lines:
        cells = [
            cell.rjust(width) if right and index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def counted(count: int, what: str, several: str | None = None) -> str:
    """`1 file`, `1,200 files`. several: an irregular plural, such as `entries`."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def first_few(names: Sequence[str], most: int = 5) -> str:
    """`a, b, c`; with more than `most` names, `a, b, c and 4 more`."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question with the most similar known name; empty when none is similar."""
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def brief(value: object) -> str:
    """`repr` of a value seen in a file or on a command line, at most LONGEST_VALUE characters."""
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python is willing to write
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
    """The age of an ISO time: "3 h ago"; a text that is not a time is returned unchanged."""
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
    """Make text streams replace characters that their encoding lacks, instead of raising.

    With `PYTHONIOENCODING=ascii`, in a cron job or an old console, `±` becomes `+-` and unknown
    characters `?`. A file name that isn't UTF-8 is written with its original bytes.
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
