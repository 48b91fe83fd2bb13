"""What lasts: records, tables, the configuration file, names and errors."""
