"""How to log in to the nodes of a site, kept by Prefect."""

from typing import Self

from prefect.blocks.core import Block
from pydantic import Field, HttpUrl, SecretStr

from blocks.loading import load_block
from clients.ssh_login import SshLogin
from fleet.sites import Jump


class SiteSsh(Block):
    """The SSH login to one or many sites: user, key, and the host keys that are good.

    Without a private key, the keys of the SSH agent are tried where the flow runs.

    Example:
        ```python
        from blocks import SiteSsh

        SiteSsh(
            user="edge",
            private_key="-----BEGIN OPENSSH PRIVATE KEY-----...",
            known_hosts="node1.oslo.example ssh-ed25519 AAAA...",
        ).save("edge-sites")

        ssh = SiteSsh.load("BLOCK_NAME")
        ```
    """

    _block_type_name = "Site SSH"
    _block_type_slug = "acrfleet-site-ssh"
    _description = "The SSH user, key and known hosts with which sites are reached."
    _documentation_url = HttpUrl("https://man.openbsd.org/sshd.8#SSH_KNOWN_HOSTS_FILE_FORMAT")

    user: str = Field(
        default=..., title="User", description="The user on the nodes; a node may name another."
    )
    private_key: SecretStr | None = Field(
        default=None,
        title="Private key",
        description="The key's text: OpenSSH, PEM or PKCS#8; none: the SSH agent.",
    )
    passphrase: SecretStr | None = Field(
        default=None, title="Passphrase", description="Opens the private key, if it is encrypted."
    )
    port: int = Field(
        default=22,
        ge=1,
        le=65535,
        title="Port",
        description="The SSH port of nodes for which the fleet file gives none.",
    )
    known_hosts: str = Field(
        default=...,
        title="Known hosts",
        description="Lines as in ~/.ssh/known_hosts; a host that is not in them is refused.",
    )
    jump_host: str | None = Field(
        default=None,
        title="Jump host",
        description="A host through which nodes are reached that name none of their own.",
    )
    jump_port: int = Field(
        default=22, ge=1, le=65535, title="Jump port", description="The jump host's SSH port."
    )
    jump_user: str | None = Field(
        default=None, title="Jump user", description="The user there; none: the same user."
    )

    @classmethod
    def named(cls, name: str) -> Self:
        """Load a saved block.

        Raises:
            BlockNotFoundError: There is none of that name.
        """
        return load_block(cls, name)

    def login(self) -> SshLogin:
        """Return how to log in."""
        return SshLogin(
            user=self.user,
            private_key=self.private_key,
            passphrase=self.passphrase,
            known_hosts=self.known_hosts,
        )

    def jump(self) -> Jump | None:
        """Return the jump host for nodes that name none, if there is one."""
        if self.jump_host is None:
            return None
        return Jump(address=self.jump_host, port=self.jump_port, user=self.jump_user)
