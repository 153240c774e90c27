"""What can go wrong with the packages of a sandbox."""

from codin.errors import InvalidInputError
from codin.sandbox.errors import SandboxError


class PackageError(SandboxError):
    """Base of the errors about packages. What was built of them is gone."""


class RequirementRefused(PackageError, InvalidInputError):
    """What was asked for is no plain requirement on a package of the index."""


class PackageNotFound(PackageError):
    """The index has no such version, none as a wheel, or the requirements contradict each other."""


class IndexUnreachable(PackageError):
    """The package index did not answer, or refused to."""


class PackageTooLarge(PackageError):
    """The packages are larger than a layer may be."""


class PackageTimeout(PackageError):
    """The packages could not be had in time."""


class PackageUnsafe(PackageError):
    """A wheel holds what no wheel may, and was not used."""


class PackageDiskFull(PackageError):
    """There is no room on the disk for the packages."""
