"""Names under which users of other engines know what is here; nothing inside rayseg imports this."""
