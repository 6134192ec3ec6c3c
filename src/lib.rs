//! wxgate.
