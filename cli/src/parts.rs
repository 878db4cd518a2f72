//! The parts of the platform: the only list of them.
//!
//! A part that is here can be chosen by `--only`, `--except` and `run`, is started in this order and stopped in
//! reverse, and has its tables in the store.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context as _;
use purlin_gateway_proxy::AccessLog;
use purlin_role::Role;
use purlin_store::Migrations;

use crate::failure::Failure;

pub(crate) use purlin_apiserver::Config as ApiServerConfig;
pub(crate) use purlin_gateway::{AddressPool, Config as GatewayConfig};

/// The part that serves the Kubernetes API; where it does not run, one elsewhere is asked.
pub(crate) const API_SERVER: &str = "apiserver";
/// The part that serves Gateways.
pub(crate) const GATEWAY: &str = "gateway";
/// The part whose service account the shared watches ask as.
pub(crate) const WATCHES_ASK_AS: &str = GATEWAY;

/// A part that runs as a role.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its name on the command line, in logs and in gates.
    pub name: &'static str,
    /// The gates that it opens when it is ready.
    pub gates: &'static [&'static str],
    /// Its role, of what it is configured with.
    pub role: fn(&Wiring) -> anyhow::Result<Role>,
}

/// What the parts are configured with.
pub(crate) struct Wiring {
    /// Of the API server, where it runs here.
    pub api: Option<ApiServerConfig>,
    /// Of the gateway.
    pub gateway: GatewayConfig,
}

/// All parts, in the order in which they start.
pub(crate) static PARTS: [Part; 2] = [
    Part {
        name: API_SERVER,
        gates: &["listening"],
        role: |wiring| {
            let config = wiring.api.clone().context("the API server has no listener")?;
            Ok(Role::new(API_SERVER, config, purlin_apiserver::run))
        },
    },
    Part {
        name: GATEWAY,
        gates: &["routes"],
        role: |wiring| Ok(Role::new(GATEWAY, wiring.gateway.clone(), purlin_gateway::run)),
    },
];

/// The tables of all parts.
pub(crate) const MIGRATIONS: [Migrations; 2] = [purlin_audit::MIGRATIONS, purlin_apiserver::MIGRATIONS];

/// The part called `name`.
pub(crate) fn find(name: &str) -> Result<&'static Part, Failure> {
    PARTS.iter().find(|part| part.name == name).ok_or_else(|| {
        let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
        Failure::usage(format!("there is no role {name:?}")).hint(format!("the roles are: {}", known.join(", ")))
    })
}

/// The parts that `--only` and `--except` leave.
pub(crate) fn select(only: &[String], except: &[String]) -> Result<Vec<&'static Part>, Failure> {
    for name in only.iter().chain(except) {
        find(name)?;
    }
    let named = |names: &[String], part: &Part| names.iter().any(|name| name == part.name);
    let wanted = |part: &&Part| (only.is_empty() || named(only, part)) && !named(except, part);
    let left: Vec<&'static Part> = PARTS.iter().filter(wanted).collect();
    if left.is_empty() {
        return Err(Failure::usage("no role is left to run").hint("leave one out of --except"));
    }
    Ok(left)
}

/// Where the access log goes, as the command line says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessLogTarget(pub AccessLog);

impl FromStr for AccessLogTarget {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(AccessLogTarget(match text {
            "off" => AccessLog::Off,
            "stderr" => AccessLog::Stderr,
            file => AccessLog::File(PathBuf::from(file)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_selected_by_name() {
        let check = |only: &[&str], except: &[&str], expected: Result<&[&str], &str>| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            match (select(&owned(only), &owned(except)), expected) {
                (Ok(parts), Ok(names)) => assert_eq!(parts.iter().map(|part| part.name).collect::<Vec<_>>(), names),
                (Err(failure), Err(text)) => {
                    assert_eq!((failure.code, failure.to_string()), (crate::exit::USAGE, text.to_owned()))
                }
                (found, _) => panic!("{only:?} {except:?}: {found:?}"),
            }
        };
        check(&[], &[], Ok(&["apiserver", "gateway"]));
        check(&["gateway", "apiserver"], &[], Ok(&["apiserver", "gateway"]));
        check(&["gateway"], &[], Ok(&["gateway"]));
        check(&[], &["gateway"], Ok(&["apiserver"]));
        check(&["mesh"], &[], Err("error: there is no role \"mesh\"\nhint: the roles are: apiserver, gateway"));
        check(&[], &["Gateway"], Err("error: there is no role \"Gateway\"\nhint: the roles are: apiserver, gateway"));
        check(&[], &["gateway", "apiserver"], Err("error: no role is left to run\nhint: leave one out of --except"));
    }

    #[test]
    fn the_access_log_goes_where_it_is_told() {
        let check = |text: &str, expected| assert_eq!(text.parse::<AccessLogTarget>().unwrap().0, expected);
        check("off", AccessLog::Off);
        check("stderr", AccessLog::Stderr);
        check("./access.log", AccessLog::File("./access.log".into()));
    }
}
