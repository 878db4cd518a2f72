//! What the gateway can be told.

use purlin_gateway_proxy::Options;

use crate::address::AddressPool;

/// How the gateway runs.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where Gateways may be bound.
    pub addresses: AddressPool,
    /// How the data plane runs.
    pub proxy: Options,
}
