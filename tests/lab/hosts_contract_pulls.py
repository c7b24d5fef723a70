"""What the product relies on from containerd on a host: where it pulls from, and what it says."""

import base64
from collections.abc import Iterator

import pytest

from tests.lab.hosts_target import REPOSITORY, TAG, HostTarget

HOST = "registry.contract.example"
IMAGE = f"{HOST}/{REPOSITORY}:{TAG}"


class _Pulls:
    @pytest.fixture(autouse=True)
    def _clean(self, target: HostTarget) -> Iterator[None]:
        yield
        certs = target.distribution.certs_folder
        target.root(f"rm -rf {certs}/{HOST} {certs}/_default {target.distribution.registries}")

    def file(self, target: HostTarget, name: str = HOST) -> str:
        return f"{target.distribution.certs_folder}/{name}/hosts.toml"

    def pull(self, target: HostTarget, image: str = IMAGE, login: str | None = "right"):
        text = target.mirror.login if login == "right" else login
        encoded = base64.b64encode((text or "").encode()).decode()
        command = f"{target.distribution.crictl} pull {image}"
        script = f"IFS= read -r CRICTL_AUTH; export CRICTL_AUTH; exec {command}"
        return target.root(script if text else command, f"{encoded}\n".encode())

    def write(self, target: HostTarget, text: str, name: str = HOST) -> None:
        path = self.file(target, name)
        target.root(f"umask 077; mkdir -p {path.rpartition('/')[0]}; cat > {path}", text.encode())

    def mirror(self, target: HostTarget, *more: str) -> str:
        lines = [f'[host."{target.mirror.endpoint}"]', '  capabilities = ["pull", "resolve"]']
        return "\n".join([*lines, *(f"  {line}" for line in more), ""])


class PullContract(_Pulls):
    def test_a_pull_fails_before_and_works_after_without_a_restart(
        self, target: HostTarget
    ) -> None:
        before = target.show()["InvocationID"]
        failed = self.pull(target)
        assert failed.status == 1
        assert f'failed to resolve reference "{IMAGE}": failed to do request: Head' in failed.err
        assert f'"https://{HOST}/v2/{REPOSITORY}/manifests/{TAG}": dial tcp' in _plain(failed.err)
        self.write(target, self.mirror(target))
        pulled = self.pull(target)
        assert pulled.status == 0, pulled.err
        assert pulled.out.startswith("Image is up to date for sha256:")
        assert target.show()["InvocationID"] == before

    def test_a_dial_timeout_does_no_harm(self, target: HostTarget) -> None:
        self.write(target, self.mirror(target, 'dial_timeout = "2s"'))
        assert self.pull(target).status == 0

    def test_a_file_that_somebody_else_wrote_outlives_a_restart(self, target: HostTarget) -> None:
        self.write(target, self.mirror(target))
        target.root(f"systemctl restart {target.distribution.unit}")
        target.wait_until_running()
        assert target.root(f"test -e {self.file(target)}").status == 0

    def test_the_file_for_all_hosts_serves_those_without_one(self, target: HostTarget) -> None:
        self.write(target, self.mirror(target), "_default")
        assert self.pull(target).status == 0

    def test_a_missing_tag_is_not_found_when_nobody_else_is_asked(self, target: HostTarget) -> None:
        self.write(target, f'server = "{target.mirror.endpoint}"\n\n{self.mirror(target)}')
        missing = f"{HOST}/{REPOSITORY}:9.9.9"
        result = self.pull(target, missing)
        assert result.status == 1
        assert "code = NotFound" in result.err
        assert f"{missing}: not found" in result.err

    def test_a_wrong_password_is_told_but_not_printed(self, target: HostTarget) -> None:
        self.write(target, f'server = "{target.mirror.endpoint}"\n\n{self.mirror(target)}')
        result = self.pull(target, login="reader:mistaken-horse")
        assert result.status == 1
        assert "failed to authorize: failed to fetch oauth token" in result.err
        assert "401 Unauthorized" in result.err
        assert "mistaken-horse" not in result.err

    def test_no_password_is_an_anonymous_one(self, target: HostTarget) -> None:
        self.write(target, f'server = "{target.mirror.endpoint}"\n\n{self.mirror(target)}')
        result = self.pull(target, login=None)
        assert result.status == 1
        assert "failed to authorize: failed to fetch anonymous token" in result.err

    def test_a_closed_endpoint_is_refused_at_once(self, target: HostTarget) -> None:
        closed = "http://10.43.99.99:80"
        self.write(target, f'server = "{closed}"\n\n[host."{closed}"]\n')
        result = self.pull(target)
        assert result.status == 1
        assert "dial tcp 10.43.99.99:80: connect: connection refused" in result.err

    def test_a_file_that_is_no_toml_counts_as_none(self, target: HostTarget) -> None:
        self.write(target, "[host\n")
        result = self.pull(target)
        assert result.status == 1
        assert f'"https://{HOST}/v2/{REPOSITORY}/manifests/{TAG}": dial tcp' in _plain(result.err)
        log = target.root(f"{target.distribution.read_log} | tail -n 20").out
        assert "failed to decode hosts.toml" in log

    def test_a_certificate_file_that_is_missing_stops_the_pull(self, target: HostTarget) -> None:
        self.write(target, self.mirror(target, 'ca = "/etc/no-such-ca.pem"'))
        result = self.pull(target)
        assert result.status == 1
        assert "/etc/no-such-ca.pem" in result.err

    def test_without_containerd_nothing_is_pulled(self, target: HostTarget) -> None:
        target.root(f"systemctl stop {target.distribution.unit}")
        result = self.pull(target)
        target.root(f"systemctl start {target.distribution.unit}")
        target.wait_until_running()
        assert result.status == 1
        assert "code = Unavailable" in result.err

    def test_pulls_under_way_are_listed_none_when_there_are_none(self, target: HostTarget) -> None:
        result = target.root(f"{target.distribution.ctr} content active")
        assert result.status == 0
        assert result.out.split()[:3] == ["REF", "SIZE", "AGE"]
        assert len(result.out.splitlines()) == 1


class RenderingContract(_Pulls):
    def test_what_it_renders_is_what_we_would_write(self, target: HostTarget) -> None:
        endpoint, unit = target.mirror.endpoint, target.distribution.unit
        registries = target.distribution.registries
        text = f'mirrors: {{"{HOST}": {{endpoint: ["{endpoint}"]}}}}\n'
        target.root(f"cat > {registries}", text.encode())
        target.root(f"systemctl restart {unit}")
        target.wait_until_running()
        assert target.root(f"cat {self.file(target)}").out == (
            f"# File generated by {target.distribution.name}. DO NOT EDIT.\n\n"
            f'server = "https://{HOST}/v2"\ncapabilities = ["pull", "resolve", "push"]\n\n[host]\n'
            f'[host."{endpoint}/v2"]\n  capabilities = ["pull", "resolve"]\n'
        )
        folder = self.file(target).rpartition("/")[0]
        assert target.root(f"stat -c %a {folder}").out == "700\n"
        assert self.pull(target).status == 0
        target.root(f"rm {registries}; systemctl restart {unit}")
        target.wait_until_running()
        assert target.root(f"test -e {self.file(target)}").status == 1


def _plain(text: str) -> str:
    return text.replace('\\"', '"')
