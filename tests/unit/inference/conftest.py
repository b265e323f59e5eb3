"""A small chest and what runs bundles, shared by the tests of inference."""

import pytest

from dss_inference.phantom.chest import Phantom, PhantomSpec, make_phantom
from dss_inference.runner import Runner, runner_for

SMALL = PhantomSpec(size=(96, 72, 78), spacing_mm=(4.0, 4.0, 4.0))


@pytest.fixture(scope="session")
def runner() -> Runner:
    return runner_for("cpu", threads=2)


@pytest.fixture(scope="session")
def chest(runner: Runner) -> Phantom:
    return make_phantom(SMALL, runner)
