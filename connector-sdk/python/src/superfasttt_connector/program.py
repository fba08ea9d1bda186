"""`run`: the whole `main` of a connector."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from . import manifest as manifests
from .call import Factory, Program
from .connector import BaseConnector
from .manifest import ManifestError


def run(
    connector: type[BaseConnector[Any]],
    *,
    loader: Factory | None = None,
    api: Factory | None = None,
    manifest: Path | str | None = None,
) -> NoReturn:
    """Serves the connector, or does what its command line says; then the process ends.

    Args:
        connector: the author's class.
        loader: makes `self.loader`, given the connector of a call: `lambda connector: DriveLoader(connector.oauth)`.
        api: makes `self.api` in the same way.
        manifest: where manifest.json lies. Default: beside the class.
    """
    try:
        found = manifests.read(Path(manifest) if manifest is not None else manifests.find(connector))
    except ManifestError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    factories = {name: factory for name, factory in (("loader", loader), ("api", api)) if factory is not None}
    program = Program(connector, found, factories)
    from . import cli  # noqa: PLC0415 - what connectord starts needs no command line

    code = cli.main(program, sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of an author that wait for a source must not hold the end.
    os._exit(code)
