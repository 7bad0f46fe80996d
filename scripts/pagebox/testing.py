"""testing.py: a plugin of pytest: a fresh folder for each test; the last line is `N passed, N failed`."""
import tempfile

import pytest


@pytest.fixture
def root():
    """A fresh folder as text. Not tmp_path: other users must be able to enter it."""
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def pytest_terminal_summary(terminalreporter):
    count = lambda *kinds: sum(len(terminalreporter.stats.get(kind, [])) for kind in kinds)
    terminalreporter.ensure_newline()
    terminalreporter.write_line(f"{count('passed')} passed, {count('failed', 'error')} failed")
