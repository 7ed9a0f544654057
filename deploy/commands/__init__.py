"""The commands of `framefarm`, one module a group."""
