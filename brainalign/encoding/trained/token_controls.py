"""Controls of routing: the same network, trained in the same way, without one of the things it chooses tokens by."""

from __future__ import annotations

from typing import Any

ROUTING_CONTROLS: dict[str, tuple[str, dict[str, Any]]] = {
    "frozen_queries": ("frozen queries", {"frozen_queries": True}),
    "content": ("content keys", {"keys": "content"}),
    "position": ("position keys", {"keys": "position"}),
}
"""How each is called in tables, and which options of the encoder it changes."""
