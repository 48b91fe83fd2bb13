"""The client of a team server: connecting, pulling, pushing, and the timer that does both."""
