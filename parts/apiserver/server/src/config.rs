//! What the API server is started with.

use std::sync::Arc;

use purlin_net::pki::ServingCertificate;

/// The API server's configuration.
#[derive(Clone)]
pub struct Config {
    /// The bound listener; it belongs to the process, so that a restart of the role loses no connection.
    pub listener: Arc<std::net::TcpListener>,
    /// The certificate that is served.
    pub certificate: Arc<ServingCertificate>,
}
