"""One module a screen; those that stay open are rooms, the others answer a question."""
