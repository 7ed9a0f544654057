"""What `pocket` is trained on: pictures, motions and prompts that are made, and photographs."""
