"""Who appears in these tests."""

from codin.testing.security import ADMIN, OWNER, STRANGER, USER, Clock

__all__ = ["ADMIN", "OWNER", "STRANGER", "USER", "Clock"]
