"""Parts of the user's own: files that register networks, shapes, schedules, samplers, metrics when imported."""

import sys
from collections.abc import Iterable
from hashlib import blake2b
from importlib.util import module_from_spec, spec_from_file_location

from point_diffusion.common.errors import UsageError, format_error
from point_diffusion.common.paths import typed_path


def load_plugins(files: Iterable[str]) -> None:
    """Import these files, each once in a process.

    Raises:
        UsageError: one is not there, or its import fails.
    """
    for name in files:
        path = typed_path(str(name))
        key = f"plugins={name}"
        module_name = (
            f"point_diffusion_plugin_{path.stem}_{blake2b(str(path).encode(), digest_size=4).hexdigest()}"
        )
        if getattr(sys.modules.get(module_name), "__file__", None) == str(path):
            continue
        if not path.is_file():
            raise UsageError(f"{key}: no such file")
        spec = spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise UsageError(f"{key}: must be a Python file")
        module = module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses and pickles look it up
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # whatever its import raises
            del sys.modules[module_name]
            raise UsageError(f"{key}: can't be imported ({format_error(error)})") from error
