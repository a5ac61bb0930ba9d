//! What a message is.
