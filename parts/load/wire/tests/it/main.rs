//! The protocols against servers that others wrote.

mod http2;
