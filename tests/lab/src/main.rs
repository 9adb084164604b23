//! Room card to be written.
fn main() {}
