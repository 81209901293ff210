"""The command line: one file a verb; parse, call, print. Nothing heavy is imported before a verb runs."""
