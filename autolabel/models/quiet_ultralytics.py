"""Ultralytics on a short lead: its settings lie in our cache, it sends nothing and fetches nothing.

`load_ultralytics` must run before anything else imports ultralytics.
"""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any

from autolabel.errors import AutolabelError
from autolabel.models.cache import cache_folder


def load_ultralytics() -> Any:
    """Return the package, told by environment variables what it may not do.

    Raises:
        AutolabelError: it is not installed.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["YOLO_CONFIG_DIR"] = str(folder)
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "true"
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
    threads = os.environ.get("OMP_NUM_THREADS")
    importlib.import_module("torch")  # before ultralytics, which would leave it one thread
    logged = logging.root.manager.disable
    logging.disable(logging.INFO)  # it tells standard output that it has made its settings
    try:
        package = importlib.import_module("ultralytics")
        tasks = importlib.import_module("ultralytics.nn.tasks")
    except ImportError as e:
        raise AutolabelError(
            f"this needs ultralytics, which is not installed ({e})",
            hint="pip install 'autolabel[train]'; ultralytics is under AGPL-3.0, mind its terms",
        ) from e
    finally:
        logging.disable(logged)
    if threads is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    vars(tasks)["SAFE_LOAD"] = True  # where something had imported it before
    return package
