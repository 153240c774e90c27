"""Signatures of A2A agent cards (A2A 1.0.1, section 8.4)."""

from __future__ import annotations

import base64
import json
import logging
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

import rfc8785
from a2a.types import AgentCard, AgentCardSignature
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import Key
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter

from codin.security.errors import CardSignatureError, CredentialError
from codin.security.keyring import KeyRing, SigningKey
from codin.security.settings import SignaturePolicy

ALGORITHMS = frozenset({"ES256", "Ed25519", "EdDSA"})
"""What a card may be signed with. ``EdDSA`` is the old name of ``Ed25519`` (RFC 9864), which the
SDKs still write; only keys of that curve are taken for it."""

_SIGNATURES = 10
_KEPT = 256
_SAFE_INTEGER = 2**53 - 1

log = logging.getLogger(__name__)


class KeySource(Protocol):
    """Where keys of remote cards come from: ones that the operator trusts, and no others."""

    async def find(self, key_id: str | None) -> Key | None:
        """The key of this id, or ``None``."""
        ...


class TrustedKeys:
    """Keys that are known beforehand, by their ids."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = {key.kid: key for key in keys}

    async def find(self, key_id: str | None) -> Key | None:
        return self._keys.get(key_id)


class RingKeys:
    """The platform's own keys, so that its gateways verify each other's cards."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    async def find(self, key_id: str | None) -> Key | None:
        try:
            return self._ring.key_of(key_id)
        except CredentialError:
            return None


@dataclass(frozen=True, slots=True)
class CardVerdict:
    """What came of looking at a card's signatures: by which key, or why by none."""

    verified: bool
    key_id: str | None = None
    reason: str = ""


def canonical(card: AgentCard) -> bytes:
    """The bytes that a signature is over: RFC 8785 of the card without its signatures.

    As section 8.4.1 has it, a required field is always there, a field with presence when it was
    set, any other when it is not at its default.

    Raises:
        CardSignatureError: the card has no such form (it is nested too deeply).
    """
    bare = AgentCard()
    bare.CopyFrom(card)
    bare.ClearField("signatures")
    try:
        return rfc8785.dumps(_numbers(_with_required(bare, MessageToDict(bare))))
    except (rfc8785.CanonicalizationError, RecursionError, ValueError) as error:
        raise CardSignatureError(f"the card has no canonical form: {error}") from None


class CardSigner:
    """Signs cards by the key of ``ring`` that signs now. What was signed lately is not signed
    again: a signature takes longer than all else about a card."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._made: OrderedDict[tuple[str, bytes], AgentCardSignature] = OrderedDict()

    def __call__(self, card: AgentCard) -> AgentCard:
        """A copy of ``card`` with one more signature.

        Raises:
            CardSignatureError: the card has no canonical form.
        """
        signer = self._ring.signing_key()
        payload = canonical(card)
        place = signer.id, sha256(payload).digest()
        made = self._made.get(place)
        if made is None:
            made = self._made[place] = _signature(payload, signer, self._ring.algorithm)
        self._made.move_to_end(place)
        while len(self._made) > _KEPT:
            self._made.popitem(last=False)
        signed = AgentCard()
        signed.CopyFrom(card)
        signed.signatures.append(made)
        return signed


def _signature(payload: bytes, signer: SigningKey, algorithm: str) -> AgentCardSignature:
    # No jku: who trusts the key has its set already, and who has not must not be sent there.
    header = {"alg": algorithm, "kid": signer.id, "typ": "JOSE"}
    compact = jws.serialize_compact(header, payload, signer.key, registry=_registry(algorithm))
    protected, _, signature = compact.split(".")
    return AgentCardSignature(protected=protected, signature=signature)


class CardVerifier:
    """Looks at the signatures of remote cards, by a policy.

    ``require``: a card that nobody trusted has signed is refused. ``warn``: it is taken, and said
    so in the log. ``off``: nobody looks. Where a card says that its key is (``jku``) is not heeded:
    whoever forges a card writes that too.
    """

    def __init__(
        self,
        policy: SignaturePolicy,
        sources: Sequence[KeySource] = (),
        *,
        warn: Callable[[str], None] = log.warning,
    ) -> None:
        self.policy = policy
        self._sources = tuple(sources)
        self._warn = warn

    async def check(self, card: AgentCard) -> CardVerdict:
        """What came of it; with ``off``, that nobody looked.

        Raises:
            CardSignatureError: the policy is ``require`` and no signature holds.
        """
        if self.policy == "off":
            return CardVerdict(False, reason="signatures are not looked at here")
        verdict = await self._verdict(card)
        if not verdict.verified:
            said = f"the card of {card.name[:80]!r} is not verified: {verdict.reason}"
            if self.policy == "require":
                raise CardSignatureError(said)
            self._warn(said)
        return verdict

    async def _verdict(self, card: AgentCard) -> CardVerdict:
        if not card.signatures:
            return CardVerdict(False, reason="it carries no signature")
        try:
            payload = canonical(card)
        except CardSignatureError as error:
            return CardVerdict(False, reason=str(error))
        reasons = []
        for signature in card.signatures[:_SIGNATURES]:
            verdict = await self._one(signature, payload)
            if verdict.verified:
                return verdict
            reasons.append(verdict.reason)
        return CardVerdict(False, reason="; ".join(dict.fromkeys(reasons)))

    async def _one(self, signature: AgentCardSignature, payload: bytes) -> CardVerdict:
        header = _header(signature.protected)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or not isinstance(key_id, str):
            return CardVerdict(False, reason=f"a signature by {algorithm!r} is not taken")
        key = await self._key(key_id)
        if key is None:
            return CardVerdict(False, key_id, f"the key {key_id[:80]!r} is not trusted here")
        if algorithm == "EdDSA" and key.get("crv") != "Ed25519":
            return CardVerdict(False, key_id, "its key is not one for its algorithm")
        body = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
        token = f"{signature.protected}.{body}.{signature.signature}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SecurityWarning)
                jws.deserialize_compact(token, key, registry=_registry(algorithm))
        except (JoseError, ValueError, TypeError):
            return CardVerdict(False, key_id, "its signature does not fit what it says")
        return CardVerdict(True, key_id)

    async def _key(self, key_id: str) -> Key | None:
        for source in self._sources:
            key = await source.find(key_id)
            if key is not None:
                return key
        return None


def _registry(algorithm: str) -> JWSRegistry:
    # Some signers write "jku": null, which is no reason to refuse a signature that holds.
    ignored = {"jku": HeaderParameter("JWK Set URL", lambda value: None)}
    registry = JWSRegistry(ignored, algorithms=[algorithm], strict_check_header=False)
    registry.max_payload_length = 4_000_000
    registry.max_header_length = 8_000
    return registry


def _header(protected: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(protected + "=" * (-len(protected) % 4)))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _with_required(message: Message, shown: dict[str, Any]) -> dict[str, Any]:
    """``shown`` with the required fields that stand at their default, here and further in."""
    for field in message.DESCRIPTOR.fields:
        name = field.json_name
        if name not in shown and _required(field):
            shown[name] = _default(field)
        elif name in shown and field.message_type is not None:
            _fill(field, getattr(message, field.name), shown[name])
    return shown


def _fill(field: FieldDescriptor, value: Any, shown: Any) -> None:
    if field.message_type.full_name.startswith("google.protobuf."):
        return  # free JSON: nothing in it is required
    if field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is not None:
            for key, inner in value.items():
                _with_required(inner, shown[str(key)])
    elif field.is_repeated:
        for inner, shown_inner in zip(value, shown, strict=True):
            _with_required(inner, shown_inner)
    else:
        _with_required(value, shown)


def _required(field: FieldDescriptor) -> bool:
    return FieldBehavior.REQUIRED in field.GetOptions().Extensions[field_behavior]


def _default(field: FieldDescriptor) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return {}
    if field.is_repeated:
        return []
    if field.message_type is not None:
        return {}
    return field.default_value


def _numbers(value: Any) -> Any:
    """JSON's numbers are doubles; the free parts of a card come as big integers all the same."""
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    if isinstance(value, int) and abs(value) > _SAFE_INTEGER:
        return float(value)
    return value
