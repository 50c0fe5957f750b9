"""Builds the C++ kernels (kernels/cpu/_native.so) and the syntax recogniser's loop in C where a compiler is there.

Everything else is in pyproject.toml. Both libraries have a C interface and are loaded with ctypes: no header of Python or
torch is needed, one build serves every Python version, and a failed build costs speed, never the installation.
"""

from __future__ import annotations

import glob
import sys

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CompileError, LinkError

NAME = "dovetail.kernels.cpu._native"
RECOGNISER = "dovetail.serve.constrain.syntax._recogniser"


class BuildKernels(build_ext):
    """Gives the library a plain name, and takes a compiler that is missing or fails as a reason to go on without."""

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + ".so"

    def run(self) -> None:
        try:
            super().run()
        except (BaseError, OSError) as error:  # not even the wish for a compiler can be fulfilled here
            _say(error, NAME)
            _say(error, RECOGNISER)

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except (BaseError, CompileError, LinkError) as error:
            _say(error, ext.name)
            raise  # setuptools goes on without an extension that is optional


def _say(error: Exception, name: str) -> None:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if len(reason) > 120:
        reason = f"{reason[:80]} ... {reason[-35:]}"
    instead = "C++ kernels not built, torch" if name == NAME else "syntax recogniser not built, its Python version"
    print(f"dovetail: {instead} is used instead ({reason})", file=sys.stderr)


class Wheel(bdist_wheel):
    """Any Python 3, this platform: the library does not depend on Python's own interface."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[
        Extension(
            NAME,
            sources=sorted(glob.glob("kernels/*/*.cpp")),
            depends=sorted(glob.glob("kernels/*/*.h")),
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-g0",
                "-fvisibility=hidden",
                "-ffp-contract=fast",
                "-fno-math-errno",
                "-pthread",
                "-Wno-psabi",
                "-Wno-uninitialized",
                "-Wno-maybe-uninitialized",
            ],
            extra_link_args=["-pthread"],
            language="c++",
            optional=True,
        ),
        Extension(
            RECOGNISER,
            sources=["serve/constrain/syntax/recogniser.c"],
            depends=sorted(glob.glob("serve/constrain/syntax/*.h")),
            extra_compile_args=["-std=c11", "-O3", "-g0", "-fvisibility=hidden"],
            optional=True,
        ),
    ],
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": Wheel},
)
