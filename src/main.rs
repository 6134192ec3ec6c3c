//! wxgate.
fn main() {}
