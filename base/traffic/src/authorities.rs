//! Bundles of certificate authorities: the key `ca.crt` of ConfigMaps.
//!
//! Here it is checked that there is PEM of a certificate; whether it can be used is for the data plane to say.

use std::sync::Arc;

use crate::input::Input;
use crate::model::ObjectName;

const KEY: &str = "ca.crt";
const PEM: &str = "-----BEGIN CERTIFICATE-----";

/// The bundle of a ConfigMap, or what is wrong with it.
pub(crate) fn read(input: &Input, name: &ObjectName) -> Result<Arc<[u8]>, String> {
    let Some(object) = input.config_maps.get(name) else { return Err(format!("ConfigMap {name} not found")) };
    let bundle = object.data.as_ref().and_then(|data| data.get(KEY));
    let Some(bundle) = bundle else { return Err(format!("ConfigMap {name} has no key {KEY}")) };
    match bundle.contains(PEM) {
        true => Ok(bundle.as_bytes().into()),
        false => Err(format!("ConfigMap {name}: {KEY} has no certificate in PEM")),
    }
}
