"""The lab's certificates, checked as strictly as Python 3.13 does by default."""

import socket
import ssl
import threading

import pytest

from lab.certificates import Authority


def shake_hands(authority, server_name, ca_file):
    """Connect once with strict verification and return the peer's certificate."""
    server = authority.server_context(["127.0.0.1", "localhost"])
    client = ssl.create_default_context(cafile=str(ca_file))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                try:
                    server.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), 5) as raw,
                client.wrap_socket(raw, server_hostname=server_name) as secure,
            ):
                return secure.getpeercert()
        finally:
            thread.join()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_strict_verification_accepts_the_labs_servers(tmp_path, name):
    authority = Authority(tmp_path)

    assert shake_hands(authority, name, authority.ca_file)["notAfter"]


def test_another_name_and_another_authority_are_refused(tmp_path):
    authority, other = Authority(tmp_path / "a"), Authority(tmp_path / "b")

    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(authority, "elsewhere.example", authority.ca_file)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(authority, "localhost", other.ca_file)
