"""Principals, scopes and permissions."""

from codin.security.authorizer import DEFAULT_ROLES, Authorizer, ForbiddenError, RoleAuthorizer
from codin.security.grant import GrantError, RunGrant, RunGrants
from codin.security.principal import LOCAL_TENANT, LOCAL_USER, Principal, Scope

__all__ = [
    "DEFAULT_ROLES",
    "LOCAL_TENANT",
    "LOCAL_USER",
    "Authorizer",
    "ForbiddenError",
    "GrantError",
    "Principal",
    "RoleAuthorizer",
    "RunGrant",
    "RunGrants",
    "Scope",
]
