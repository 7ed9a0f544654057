"""Videos that move between farms: archives, export and import."""
