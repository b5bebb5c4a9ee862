"""A fork from its start to its end: no garbage is collected, and nothing that its parent imported is taken apart."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn


def leave(last: Callable[..., object], *arguments: object, **options: object) -> NoReturn:
    """Call a function and exit as Python would after it, with the status and the message that it exits with."""
    gc.disable()  # it lives for seconds
    status: object = None
    try:
        last(*arguments, **options)
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if not isinstance(status, int | None):
        print(status, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))
