"""What a script does, called in this process."""

import pytest
from hydra import compose, initialize_config_dir

from helpers.small_runs import CHECKOUT


@pytest.fixture
def call(trained, tmp_path, monkeypatch):
    """Compose a script's config and call what the script does, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def _call(function, *overrides):
        with initialize_config_dir(str(CHECKOUT / "conf"), version_base=None):
            config = compose(function.__name__, [f"run='{trained}'", *overrides])
        return function(config)

    return _call
