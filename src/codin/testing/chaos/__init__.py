"""The proof that goals survive: whatever is killed, paused or restarted, every goal ends, and every
effect comes once, but for what was under way when its process died.

Workers run goals of steps whose agents call a tool that writes into a ledger outside of everything;
at the end the ledger is compared with the log. ``python -m codin.testing.chaos`` runs it; see
``docs/durability.md``.
"""

from codin.testing.chaos.proof import ChaosProof, Report, Store

__all__ = ["ChaosProof", "Report", "Store"]
