//! `upstream` as a table: what is wrong with it is told with its place.
