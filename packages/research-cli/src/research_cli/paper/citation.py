"""The CITATION.cff of a paper: what its code reproduces, and how to cite that.

Format: Citation File Format 1.2.0. Title, authors, year and arXiv identifier are those of
[tool.research] in its pyproject.toml. The paper is what is to be cited (`preferred-citation`); the
code's own authors aren't known here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from research_data.errors import ResearchError
from research_train.experiment.members import Member

CITATION = "CITATION.cff"
CONTRIBUTORS = "The contributors of this repository"


def citation_file(member: Member) -> dict[Path, str]:
    """The file CITATION.cff of a member, and its content.

    Raises ResearchError if its pyproject.toml has no title or no authors to cite.
    """
    return {member.folder / CITATION: "".join(f"{line}\n" for line in _lines(member))}


def _lines(member: Member) -> Iterator[str]:
    pyproject = member.pyproject
    title, authors = pyproject.title, pyproject.authors
    for key, value in (("title", title), ("authors", authors)):
        if not value.strip():
            raise ResearchError(
                f"{pyproject.file}: [tool.research] has no {key}, so there is nothing to cite. "
                f'Add {key} = "..."'
            )
    yield "cff-version: 1.2.0"
    yield "type: software"
    yield f"title: {_quoted(f'{member.distribution}: a reproduction of {title}')}"
    yield 'message: "Please cite the work below; this code reproduces it."'
    yield f"version: {_quoted(str(pyproject.version))}"
    yield f"authors:\n  - name: {_quoted(CONTRIBUTORS)}"
    yield "preferred-citation:"
    yield f"  type: {'article' if pyproject.arxiv else 'generic'}"
    yield f"  title: {_quoted(title)}"
    yield "  authors:"
    for author in re.split(r",\s*(?:and\s+)?|\s+and\s+", authors.strip()):
        yield from _author(author)
    if pyproject.year is not None:
        yield f"  year: {pyproject.year}"
    if pyproject.arxiv:
        # arXiv gives every paper a DOI, which is that of all its versions.
        bare = re.sub(r"v\d+$", "", pyproject.arxiv)
        yield f"  doi: {_quoted(f'10.48550/arXiv.{bare}')}"
        yield f"  url: {_quoted(f'https://arxiv.org/abs/{pyproject.arxiv}')}"


def _author(name: str) -> Iterator[str]:
    """A person as `Given van Family`; a single word, such as `others`, is an entity's name.

    BibTeX writes "and others" for "et al.", and so do tools that read the file.
    """
    *given, family = name.split() or [name]
    if not given:
        yield f"    - name: {_quoted(family)}"
        return
    particles: list[str] = []
    while given and given[-1].islower():  # van, de la
        particles.insert(0, given.pop())
    yield f"    - family-names: {_quoted(family)}"
    if particles:
        yield f"      name-particle: {_quoted(' '.join(particles))}"
    if given:
        yield f"      given-names: {_quoted(' '.join(given))}"


def _quoted(text: str) -> str:
    """A text as YAML 1.2 reads it: JSON is part of YAML."""
    return json.dumps(text, ensure_ascii=False)
