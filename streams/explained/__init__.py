"""An alert explained from its own evidence: words and numbers, pictures for a terminal, the same for a file."""
