//! End-to-end tests over real TLS.
