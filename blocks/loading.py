"""Loading blocks with a type that a checker understands and an error that an operator does."""

from typing import TypeVar

from prefect.blocks.core import Block

from fleet.errors import BlockNotFoundError

B = TypeVar("B", bound=Block)


def load_block(kind: type[B], name: str) -> B:
    """Load a saved block.

    `Block.load` is typed as a block or a coroutine and gives a coroutine inside an event loop.

    Raises:
        BlockNotFoundError: There is none of that name, or it is of an older version that cannot
            be read any more.
    """
    what = f"{kind.get_block_type_slug()}/{name}"
    try:
        found: object = kind.load(name)
    except ValueError as error:
        missing = "Unable to find block document" in str(error)
        reason = "does not exist" if missing else "does not fit this version of acrfleet"
        raise BlockNotFoundError(
            f"Prefect block {what} {reason}; register the types with"
            " `prefect block register -m blocks`, then make it in the UI under Blocks or with"
            f" `{kind.__name__}(...).save({name!r})`"
        ) from None
    if not isinstance(found, kind):
        raise TypeError(f"block {what} was loaded inside an event loop; load it from a thread")
    return found
