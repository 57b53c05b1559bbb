"""The tables in the packages' READMEs: a row a folder or file, and one a public name.

    uv run python packages/research-cli/tests/support/module_tables.py

writes each table anew between its markers. `test_house.py` fails where one is out of date.
"""

import ast
import sys
from pathlib import Path

import name_tables

BEGIN, END = "<!-- modules: written by module_tables.py -->", "<!-- /modules -->"
PACKAGES = Path(__file__).parents[3]


def first_line(module: Path) -> str:
    """The first paragraph's first line of a module's docstring, without what a reader can't see.

    Raises ValueError when it has none.
    """
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not docstring:
        raise ValueError(f"{module} has no docstring")
    return docstring.splitlines()[0].strip().removesuffix(".").replace("|", "\\|")


def module_table(package: Path) -> str:
    """The Markdown table of a package's folders and files, in the order of the napkin's names."""
    [source] = (package / "src").iterdir()
    rows = ["| module | what it is for |", "|---|---|"]
    for path in sorted(source.iterdir(), key=lambda p: (p.is_dir(), p.name)):
        if path.suffix == ".py" and path.stem != "__init__":
            rows.append(f"| `{path.stem}` | {first_line(path)} |")
        elif (path / "__init__.py").is_file():
            rows.append(f"| **`{path.name}/`** | **{first_line(path / '__init__.py')}** |")
            rows += [
                f"| `{path.name}/{file.stem}` | {first_line(file)} |"
                for file in sorted(path.glob("*.py"))
                if file.stem != "__init__"
            ]
    return "\n".join(rows)


def with_tables(readme: str, package: Path) -> str:
    """The README with both tables of the package between their markers, from what is there now.

    Raises ValueError when it has no such markers.
    """
    if names := name_tables.name_table(package):
        readme = _between(readme, name_tables.BEGIN, name_tables.END, names)
    return _between(readme, BEGIN, END, module_table(package))


def _between(readme: str, begin: str, end: str, table: str) -> str:
    before, found, rest = readme.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no {begin} ... {end} in it")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def main() -> int:
    """Write the tables of all packages."""
    for readme in sorted(PACKAGES.glob("*/README.md")):
        text = readme.read_text(encoding="utf-8")
        readme.write_text(with_tables(text, readme.parent), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
