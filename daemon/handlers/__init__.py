"""One module a noun: a request's check, its one call, its reply."""
