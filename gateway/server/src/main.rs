//! The command `silkgate`.
fn main() {}
