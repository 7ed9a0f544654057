"""A request as values: sections, sizes, prompts, schedules. Loads no torch."""
