"""The sessions of a database: tables, statements, and reading."""
