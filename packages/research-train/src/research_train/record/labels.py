"""The words by which a run is found and explained: its group, tags and note."""

from collections.abc import Sequence

from research_data.errors import UsageError


def cleaned_labels(
    group: str | None, tags: Sequence[str], note: str | None
) -> tuple[str | None, list[str], str | None]:
    """Group, tags and note as they are recorded: without spaces around, each tag once.

    Raises UsageError for an empty group or tag.
    """
    if group is not None and not group.strip():
        raise UsageError("a group must not be empty")
    return group.strip() if group else None, cleaned_tags(tags), (note or "").strip() or None


def cleaned_tags(tags: Sequence[str]) -> list[str]:
    """Tags without spaces around, each once. Raises UsageError for an empty one."""
    if not all(tag.strip() for tag in tags):
        raise UsageError("a tag must not be empty")
    return list(dict.fromkeys(tag.strip() for tag in tags))
