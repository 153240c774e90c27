"""The proof that ``kill -9`` of the gateway loses nothing that was acknowledged.

A real gateway is killed again and again, at random and between the steps by which a write becomes
known, while clients outside of it send messages and follow tasks; at the end what they were told is
compared with the log. ``python -m codin.testing.kills`` runs it; see ``docs/durability.md``.
"""

from codin.testing.kills.proof import KillProof, Report, Store

__all__ = ["KillProof", "Report", "Store"]
