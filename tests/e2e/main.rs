//! End to end: the platform as its users meet it, a process of its own, driven by the clients that they have.
//!
//! Each test starts its own platform in an empty home ([`platform`]). What kubectl has to do stands in
//! `kubectl/*.txt`, run by [`transcript`]; the Python client's script is `clients/everyday.py`. [`tidy`] needs no
//! platform: it holds the repository to its own rules.

mod bad_input;
mod controller;
mod durable;
mod figures;
mod gateway_cases;
mod http1;
mod https;
mod kubectl;
mod load;
mod load_grpc;
mod platform;
mod promises;
mod python;
mod tidy;
mod tour;
mod traffic;
mod transcript;
