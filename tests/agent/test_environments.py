"""Adapters of frameworks that cannot be installed beside the platform's own: the suite is run in
an environment that the platform builds for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import codin
from codin.agent.frameworks import FRAMEWORKS
from codin.agent.host.packages import own_requirements
from codin.sandbox.packages import PackageLayers
from codin.testing.support import FILE

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "environments"
ENVIRONMENTS = {each.name: each.apart for each in FRAMEWORKS.values() if each.apart}
BESIDE = {"crewai": ("crewai[google-genai]>=1.15.30",)}
"""What a suite has besides: CrewAI tells thoughts by Gemini's client."""

RUNNER = ("pytest>=9", "pytest-asyncio>=1.5")


@pytest.mark.parametrize("name", ENVIRONMENTS)
async def test_the_suite_in_an_environment_of_its_own(name: str, tmp_path: Path) -> None:
    suites = sorted(path.name for path in HERE.glob(f"{name}_*s.py"))
    assert f"{name}_agents.py" in suites
    layers = PackageLayers()
    named = [*ENVIRONMENTS[name], *BESIDE.get(name, ())]
    layer = await layers.get([*named, *own_requirements(), *RUNNER])
    try:
        done = subprocess.run(
            [sys.executable, "-S", "-m", "pytest", "-c", "pytest.ini", *suites],
            cwd=HERE,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "PYTHONPATH": f"{Path(codin.__file__).parent.parent}:{layer}",
                "PYTHONDONTWRITEBYTECODE": "1",
                "CREWAI_DISABLE_TELEMETRY": "true",
                "OTEL_SDK_DISABLED": "true",
                FILE: os.environ.get(FILE, ""),
            },
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    finally:
        layers.close()
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
    assert " passed" in done.stdout
