"""What every module of tests is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest import mock

import pytest


@pytest.fixture(scope="module", autouse=True)
def environment_of_its_own() -> Iterator[None]:
    """Variables that a backend in the tests' own process needs (``KERAS_BACKEND``) are no one else's."""
    with mock.patch.dict(os.environ):
        yield
