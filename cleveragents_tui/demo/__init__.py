"""What `ca demo` uses: a sample repository, a script of commands, and a stage that leaves nothing behind."""
