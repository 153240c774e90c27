"""LlamaIndex's agents and workflows."""
