"""What the tests share; tests/ is on the path of pytest, and of the processes that it starts."""
