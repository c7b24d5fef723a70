"""Taking away what a registry knows about a site. What is gone already is no error."""

from functools import partial

from clients.registry_calls import RegistryCalls


class RegistryDeletions(RegistryCalls):
    """Deletes scope maps, tokens and connected registries, by name.

    Azure refuses to delete a scope map that a token uses, a token that a connected registry uses,
    and a connected registry that others are below (facts/connected-registry.md, 1.7).
    """

    def deactivate_connected_registry(self, name: str) -> None:
        """Take a connected registry from the installation that holds it, for good."""
        begin = self._client.connected_registries.begin_deactivate
        self._finish(
            f"deactivate connected registry {name}", partial(begin, self._group, self._name, name)
        )

    def delete_connected_registry(self, name: str) -> None:
        """Delete a connected registry; its tokens and scope maps stay."""
        begin = self._client.connected_registries.begin_delete
        self._finish(
            f"delete connected registry {name}", partial(begin, self._group, self._name, name)
        )

    def delete_token(self, name: str) -> None:
        """Delete a token with its passwords; its scope map stays."""
        begin = self._client.tokens.begin_delete
        self._finish(f"delete token {name}", partial(begin, self._group, self._name, name))

    def delete_scope_map(self, name: str) -> None:
        """Delete a scope map."""
        begin = self._client.scope_maps.begin_delete
        self._finish(f"delete scope map {name}", partial(begin, self._group, self._name, name))
