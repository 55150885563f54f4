"""Builds the optional kernel; everything else is in pyproject.toml."""

import runpy

from setuptools import Extension, setup

version = runpy.run_path("streamgmm/features/kernel/version.py")

setup(
    ext_modules=[
        Extension(
            "streamgmm.features.kernel._kernel",
            [f"streamgmm/features/kernel/{path.name}" for path in version["SOURCES"]],
            depends=[f"streamgmm/features/kernel/{path.name}" for path in version["HEADERS"]],
            define_macros=[("KERNEL_VERSION", f'"{version["source_version"]()}"')],
            # No -march: `kernel.c` chooses the instructions when it is loaded.
            extra_compile_args=["-std=gnu11", "-O3", "-g0", "-fvisibility=hidden", "-Wno-psabi"],
            py_limited_api=True,
            # Without a compiler, the features are computed in numpy.
            optional=True,
        )
    ]
)
