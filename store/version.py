"""The version of the package, in the one place from which the build, both ends of the socket and `--version` read it."""

VERSION = "0.1.0"
