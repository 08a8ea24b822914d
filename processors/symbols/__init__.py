"""The symbol table in memory: from kept parts to rows with every field."""
