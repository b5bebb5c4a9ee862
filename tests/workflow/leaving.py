"""The end of a fork: without taking apart all that its parent imported, which takes half a second."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn


def leave(last: Callable[..., object], *arguments: object, **options: object) -> NoReturn:
    """Call a function and exit as Python would after it, with the status and the message that it exits with."""
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
