"""The hooks that rayseg brings, one file each, named after the hook."""
