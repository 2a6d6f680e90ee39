"""What the tests of consumers share."""

import pytest

from tests.worlds import grown


@pytest.fixture
def filled(runtime, catch_up):
    grown(runtime)
    catch_up()
    return runtime
