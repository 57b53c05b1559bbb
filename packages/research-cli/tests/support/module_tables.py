"""The tables of modules in the packages' READMEs: a row a folder or file, from its docstring.

    uv run python packages/research-cli/tests/support/module_tables.py

writes each table anew between its markers. `test_house.py` fails where one is out of date.
"""

import ast
import sys
from pathlib import Path

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


def with_table(readme: str, table: str) -> str:
    """The README with this table between its markers. Raises ValueError when it has none."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no {BEGIN} ... {END} in it")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def main() -> int:
    """Write the tables of all packages."""
    for readme in sorted(PACKAGES.glob("*/README.md")):
        text = readme.read_text(encoding="utf-8")
        readme.write_text(with_table(text, module_table(readme.parent)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
