"""What people see: the command `ca`, the dashboard, and the client of the daemon's socket."""
