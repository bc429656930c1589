"""numpy, read when it is first used: a node that searches for nothing, and meets no stranger, does without its 12 MB.

from mycelnode.lazy import np
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
else:

    class _Later:
        def __getattr__(self, name: str) -> Any:
            import numpy  # noqa: ICN001

            found = getattr(numpy, name)
            setattr(self, name, found)  # the next time it is not asked for
            return found

    np = _Later()

__all__ = ["np"]
