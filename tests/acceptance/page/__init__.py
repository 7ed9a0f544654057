"""One farm for all of these tests: pytest ends a package's fixtures with its last test, before another farm starts."""
