"""Lambda: every function runs in containers of its own. As a name, `lambda` is a keyword."""
