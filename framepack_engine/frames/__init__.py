"""Pictures in, frames out: encoding, decoding, video files."""
