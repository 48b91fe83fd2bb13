"""The dashboard: a Textual application in front of the daemon. Nothing else of the face imports textual."""
