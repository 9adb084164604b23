//! Answers as people read them.
//!
//! In: answers. Out: text. Never: a request.

pub mod master;
pub mod node;
