//! The process's one cryptographic provider: aws-lc-rs.

use std::sync::Once;

/// Makes aws-lc-rs the provider of rustls in this process. Calling it again does nothing.
pub fn install_crypto() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that a provider is there already; aws-lc-rs is the only one that the build contains.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
}
