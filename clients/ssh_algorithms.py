"""What to allow on a server with which we share no algorithm."""

import paramiko

_SETTINGS = {
    "kex algorithm": ("key exchange algorithm", "KexAlgorithms", "kex"),
    "host key": ("host key type", "HostKeyAlgorithms", "key_types"),
    "ciphers": ("cipher", "Ciphers", "ciphers"),
    "macs": ("message authentication code", "MACs", "digests"),
    "compression": ("compression method", "Compression", "compression"),
}
_WEAK = ("sha1", "md5", "cbc")
# An sshd before OpenSSH 9.9 does not start with a name that it does not know.
_NEW = ("mlkem",)
_BETTER = ("gcm", "etm")


def describe_mismatch(words: str, options: paramiko.transport.SecurityOptions) -> str:
    """Return what is not shared, and what the host's administrator can do about it.

    Args:
        words: paramiko's own, such as "Incompatible ssh peer (no acceptable ciphers)".
        options: What we can speak; of it, only what is neither weak nor new is recommended.
    """
    found = next((named for part, named in _SETTINGS.items() if part in words), None)
    if found is None:
        return f"share no protocol version ({words}): only SSH 2.0 is spoken."
    what, setting, attribute = found
    if setting == "Compression":
        return "share no compression method: set Compression no in the host's sshd_config."
    names = [
        n for n in getattr(options, attribute) if not any(part in n for part in (*_WEAK, *_NEW))
    ]
    names.sort(key=lambda name: not any(part in name for part in _BETTER))
    advice = (
        f"add one of these to {setting} in the host's sshd_config: {', '.join(names)}. "
        "Then test with `sshd -t`, and reload."
    )
    if setting == "HostKeyAlgorithms":
        advice += (
            " The host needs a key of that kind (`ssh-keygen -A` makes those that are missing), and"
            " known_hosts its line. ssh-rsa, which signs with SHA-1, is not spoken."
        )
    return f"share no {what}: {advice}"
