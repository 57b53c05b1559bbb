"""Fill in the files of a new paper or project from templates/.

The files of these folders are copied in this order; a later one replaces an earlier one:

common, code      what both have; code becomes the member's Python package
paper or project  README, pyproject.toml, claims
models, viz       files that use research-models and research-viz
notebook          a notebook over the project's runs
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from research_data.errors import UsageError
from research_data.shown import did_you_mean

from research_cli.paper.names import Kind, module_of

TEMPLATES = Path(__file__).parent / "templates"
SUFFIX = ".template"  # so that no tool takes a template for Python or collects it as a test

ALWAYS = ("data", "train")  # nothing trains without them
USES = ("data", "models", "train", "viz")


@dataclass(frozen=True)
class NewMember:
    """What a member is made from.

    uses: names from USES. arxiv, year, authors: those of the paper, where known. docker: whether
    it gets a Dockerfile (docker.py).
    """

    name: str
    kind: Kind
    title: str
    uses: frozenset[str] = frozenset(ALWAYS)
    arxiv: str | None = None
    year: int | None = None
    authors: str | None = None
    notebook: bool = False
    docker: bool = False
    module: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "module", module_of(self.name, self.kind))

    @property
    def distribution(self) -> str:
        """The distribution's name, as uv knows it."""
        return f"{self.kind}-{self.name}"


def read_uses(text: str) -> frozenset[str]:
    """The packages named in `models,viz`, and those always used. Raises UsageError."""
    words = [word.strip().removeprefix("research-") for word in text.split(",")]
    for word in filter(None, words):
        if word not in USES:
            raise UsageError(
                f"--uses {text}: there is no internal package research-{word}."
                f"{did_you_mean(word, USES)} There are: {', '.join(USES)}"
            )
    return frozenset([*ALWAYS, *filter(None, words)])


def fill_in(member: NewMember, folder: Path) -> None:
    """Write a member's files into an empty folder."""
    layers = ["common", "code", member.kind]
    layers += [use for use in ("models", "viz") if use in member.uses]
    layers += ["notebook"] if member.notebook else []
    root = member.module if member.kind == "paper" else f"experiments/{member.module}"
    values = _values(member)
    for layer in layers:
        top = TEMPLATES / layer
        for template in sorted(top.rglob(f"*{SUFFIX}")):
            place = template.relative_to(top).as_posix().removesuffix(SUFFIX)
            if layer == "code" or place.startswith("code/"):
                place = f"{root}/{place.removeprefix('code/')}"
            if place.startswith("vscode/"):  # hidden only in the member, so that no build omits it
                place = f".{place}"
            place = place.replace("test_member.py", f"test_{member.name.replace('-', '_')}.py")
            file = folder / place
            file.parent.mkdir(parents=True, exist_ok=True)
            text = Template(template.read_text(encoding="utf-8")).substitute(values)
            file.write_text(text, encoding="utf-8")


def _values(member: NewMember) -> Mapping[str, str]:
    ours = [f"research-{use}" for use in sorted(member.uses)]
    address = f"[arXiv {member.arxiv}](https://arxiv.org/abs/{member.arxiv})"
    reference = [
        member.authors or "*authors*",
        f'"{member.title}"',
        str(member.year or "*year*"),
        address if member.arxiv else "*where it appeared*",
    ]
    cited = [member.authors, member.title, member.year, member.arxiv and f"arXiv {member.arxiv}"]
    known = [str(each) for each in cited if each]
    short = f"{member.title} (arXiv {member.arxiv})" if member.arxiv else member.title
    citation = {
        "title": member.title,
        "authors": member.authors,
        "year": member.year,
        "arxiv": member.arxiv,
    }
    return {
        "name": member.name,
        "module": member.module,
        "distribution": member.distribution,
        "title": member.title,
        "heading": short,
        "description": _quoted(short),
        "docstring": _docstring(member, short),
        "reference": ", ".join(reference) + ".",
        "source": _quoted(", ".join(known)),
        "citation": "\n".join(f"{k} = {_quoted(v)}" for k, v in citation.items() if v),
        "dependencies": "\n".join(
            f'    "{each}",' for each in sorted(["numpy>=1.26", *ours, "torch>=2.6"])
        ),
        "sources": "\n".join(f"{each} = {{ workspace = true }}" for each in ours),
        "a_model": "a small network" if "models" in member.uses else "logistic regression",
    }


def _quoted(value: str | int) -> str:
    """A value as TOML, YAML 1.2 and JSON all read it."""
    return json.dumps(value, ensure_ascii=False)


def _docstring(member: NewMember, text: str) -> str:
    """The text if it fits into a docstring of one line, else the member's name."""
    if len(text) > 90 or set(text) & {'"', "\\"}:
        return f"{member.name}."
    return text if text[-1] in ".!?" else f"{text}."
