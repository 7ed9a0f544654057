"""`bench peers`: the engine beside diffusers' own FramePack pipeline, on the same weights."""
