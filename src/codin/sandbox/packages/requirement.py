"""Requirements: which are taken, and in what form they are compared."""

from __future__ import annotations

from collections.abc import Sequence

from codin.sandbox.packages.errors import RequirementRefused

MAX_REQUIREMENTS = 200
_MAX_LENGTH = 500


def normalize(requirements: Sequence[str], *, most: int = MAX_REQUIREMENTS) -> tuple[str, ...]:
    """The requirements in one form: equal ones are equal text, sorted, each once.

    Raises:
        RequirementRefused: one is no requirement on a package of the index, as PEP 508 writes it.
    """
    if isinstance(requirements, str):
        raise RequirementRefused(f"requirements are a list, not one text: ({requirements!r},)")
    if len(requirements) > most:
        raise RequirementRefused(
            f"{len(requirements)} requirements are more than the {most} allowed"
        )
    return tuple(sorted({_normal(text) for text in requirements}))


def _normal(text: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    if not isinstance(text, str) or not text.isascii() or len(text) > _MAX_LENGTH or "\n" in text:
        raise RequirementRefused(
            f"{text!r:.100} is no requirement; write it as 'pandas' or 'pandas>=2'"
        )
    try:
        found = Requirement(text)
    except InvalidRequirement as error:
        why = str(error).splitlines()[0]
        raise RequirementRefused(
            f"{text!r} is no requirement ({why}); write it as 'pandas' or 'pandas>=2'"
        ) from None
    if found.url is not None:
        raise RequirementRefused(
            f"{text!r} names a place; only packages of the index are taken, by name and version"
        )
    extras = ",".join(sorted(canonicalize_name(extra) for extra in found.extras))
    name = canonicalize_name(found.name) + (f"[{extras}]" if extras else "")
    marker = f"; {found.marker}" if found.marker else ""
    return f"{name}{found.specifier}{marker}"
