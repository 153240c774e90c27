"""The web page's files, served by the gateway as they are."""

from pathlib import Path

STATIC = Path(__file__).parent / "static"
