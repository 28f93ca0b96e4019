"""The part of the build that setup.cfg cannot tell: a module in C, left out where there is no compiler."""

import sysconfig

from setuptools import Extension, setup

if sysconfig.get_config_var("Py_GIL_DISABLED"):
    setup()  # an interpreter without a lock has no limited interface, and refuses a wheel that claims it
else:
    setup(
        ext_modules=[
            Extension(
                "protectd.vault._sha256",
                ["protectd/vault/_sha256.c"],
                extra_compile_args=["-O2"],
                py_limited_api=True,
                optional=True,
            )
        ],
        options={"bdist_wheel": {"py_limited_api": "cp311"}},
    )
