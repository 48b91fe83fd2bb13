"""The team server: a process of its own that hands definitions between the daemons of a team."""
