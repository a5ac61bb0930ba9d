//! Certificate profiles.
