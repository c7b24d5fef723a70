"""What a disabled token tells: somebody meant it, and how to take it back."""

from fleet.azure_objects import TokenState


def disabled_words(token: TokenState) -> str:
    """Return what to do about a disabled token: it is never enabled by us."""
    enable = f"`az acr token update --name {token.name} --registry REGISTRY --status enabled`"
    if not token.slots:
        return (
            f"token {token.name} is {token.status} and has no passwords: it was disabled on "
            "purpose, as `acrfleet revoke` does for a site that was lost or stolen. If the site "
            f"shall come back, enable its client and its sync token with {enable}"
        )
    return (
        f"token {token.name} is {token.status}: somebody switched it off, and acrfleet does not"
        f" switch it on by itself; find out why, then run {enable}"
    )
